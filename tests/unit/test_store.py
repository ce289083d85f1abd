# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, records, leases and the lock, below a temporary directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import LockTimeout, StateCorrupt
from ansible_collections.podnet.linux.plugins.module_utils._spec import claims
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import Sandbox
from ansible_collections.podnet.linux.plugins.module_utils._store import files, leases, lock, paths, records

ID = "0123456789abcdef"
OTHER = "fedcba9876543210"
BOOT = "boot"
A, B = ip_address("10.90.0.2"), ip_address("fd00:90::2")
BLOCK = ip_network("10.90.4.0/24")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of /run/podnet and /var/lib/podnet, as root has them."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name, below in {
        "RUN": "run",
        "LIB": "lib",
        "VOLATILE": "run/desired",
        "LEASES": "lib/leases",
        "SANDBOXES": "run/sandboxes",
    }.items():
        monkeypatch.setattr(paths, name, str(tmp_path / below))
    return tmp_path


@pytest.fixture
def network() -> Network:
    request = NetworkRequest.from_options({"name": "pods0", "subnets": ["10.90.0.0/24"]})
    return request.resolve(None, new_id=ID, default_mtu=1500)


def write_record(record: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": records.SCHEMA, "boot_id": BOOT, **record}))


@contextmanager
def held(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Another holder of the lock: flock(2) tells open files apart, not processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, kind)
        yield


def test_a_file_is_written_with_its_directory(tmp_path: Path) -> None:
    files.write(str(tmp_path / "a/b/file"), "text\n")
    assert (tmp_path / "a/b/file").read_text() == "text\n"


def test_a_file_gets_the_mode_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.write(str(tmp_path / "file"), "", mode=0o644)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_file_is_replaced_not_rewritten(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with target.open() as reader:
        files.write(str(target), "new")
        assert (reader.read(), target.read_text()) == ("old", "new")


def test_a_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    files.write(str(tmp_path / "file"), "ours")
    assert (tmp_path / "victim").read_text() == "theirs" and not (tmp_path / "file").is_symlink()


def test_a_directory_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError):
        files.write(str(tmp_path / "link/file"), "ours")
    assert not list((tmp_path / "theirs").iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        files.write(str(tmp_path / "file"), "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_writer_left_is_swept(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written below our directories begins in one place."""

    def die(*_args: Any, **_words: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", die)
        patch.setattr("os.unlink", die)
        for path in ("lib/networks/a.json", "run/x", "lib/leases/pods0/10.90.0.2"):
            with contextlib.suppress(SystemExit):
                files.write(str(store / path), "text")
    assert len([path for path in store.rglob("*") if path.is_file()]) == 3
    files.sweep_temporaries()
    assert not [path for path in store.rglob("*") if path.is_file()] and not list(store.rglob(".tmp"))


@pytest.mark.parametrize("kind", ("missing", "symlink", "directory", "fifo"))
def test_what_is_no_plain_file_reads_as_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    make = {
        "missing": lambda: None,
        "symlink": lambda: path.symlink_to("/etc/hostname"),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    assert files.read(str(path)) is None


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    files.write_json(str(tmp_path / "file"), {"a": [1, None, "ä"]})
    assert files.read_json(str(tmp_path / "file")) == {"a": [1, None, "ä"]}


def test_json_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert files.read_json(str(tmp_path / "file")) is None


@pytest.mark.parametrize("text", ("", "{", "[]", "null", "\0", '{"a": 1} x', "é"))
def test_garbled_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(StateCorrupt, match=f"{tmp_path}/file is empty or garbled"):
        files.read_json(str(tmp_path / "file"))


def test_deeply_nested_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("[" * 100000)
    with pytest.raises(StateCorrupt, match=f"{tmp_path}/file"):
        files.read_json(str(tmp_path / "file"))


@pytest.mark.parametrize("kind", ("symlink", "dangling", "directory", "fifo"))
def test_json_that_is_no_plain_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    (tmp_path / "real").write_text("{}")
    make = {
        "symlink": lambda: path.symlink_to(tmp_path / "real"),
        "dangling": lambda: path.symlink_to(tmp_path / "nothing"),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    with pytest.raises(StateCorrupt, match=f"{path} "):
        files.read_json(str(path))


def test_a_record_comes_back(store: Path, network: Network) -> None:
    records.Records().write("network", "pods0", network.as_record(), BOOT)
    assert records.Records().networks() == {"pods0": network}


def test_a_record_that_is_not_persistent_is_forgotten_by_a_reboot(store: Path) -> None:
    sandbox = Sandbox(id=ID, name="web", hostname="web", persistent=False)
    records.Records().write("sandbox", ID, sandbox.as_record(), BOOT)
    assert [str(path.relative_to(store)) for path in store.rglob("*.json")] == [f"run/desired/sandboxes/{ID}.json"]


def test_a_record_never_lies_in_both_places(store: Path) -> None:
    for persistent in (True, False):
        records.Records().write("sandbox", ID, Sandbox(id=ID, name="web", hostname="web", persistent=persistent).as_record(), BOOT)
    assert len(list(store.rglob("*.json"))) == 1 and not records.Records().sandboxes()[ID].persistent


@pytest.mark.parametrize("persistent", (True, False))
def test_a_deleted_record_is_gone(store: Path, persistent: bool) -> None:
    records.Records().write("sandbox", ID, Sandbox(id=ID, name="web", hostname="web", persistent=persistent).as_record(), BOOT)
    records.Records().delete("sandbox", ID)
    assert not records.Records().sandboxes()


def test_without_a_store_there_are_no_records(store: Path) -> None:
    assert (records.Records().networks(), records.Records().sandboxes(), leases.load()) == ({}, {}, {})


def test_the_index_saves_reading_records(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (ID, OTHER):
        records.Records().write("sandbox", key, Sandbox(id=key, name=f"web-{key[:1]}", hostname="web").as_record(), BOOT)
    first = records.Records()
    assert first.sandboxes().holders(claims.name(f"web-{ID[:1]}")) == [ID]
    first.save_index()
    monkeypatch.setattr(records, "_parsed", lambda path, *_rest: pytest.fail(f"{path} was read"))
    again = records.Records().sandboxes()
    assert again.holders(claims.name(f"web-{OTHER[:1]}")) == [OTHER] and set(again) == {ID, OTHER}


def test_who_needs_no_records_reads_none(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user may not even be allowed to."""
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail(f"{path} was read"))
    records.Records().save_index()


@pytest.mark.parametrize("how", ("in place", "anew", "deleted", "the index itself", "the index but its head"))
def test_what_is_written_behind_our_back_is_noticed(store: Path, how: str) -> None:
    records.Records().write("sandbox", ID, Sandbox(id=ID, name="web", hostname="web").as_record(), BOOT)
    first = records.Records()
    assert first.sandboxes().holders(claims.name("web")) == [ID]
    first.save_index()
    (path,) = store.rglob(f"{ID}.json")
    renamed = path.read_text().replace('"web"', '"ftp"')
    if how == "in place":
        path.write_text(renamed)
    elif how == "anew":
        path.unlink()
        path.write_text(renamed)
    elif how == "deleted":
        path.unlink()
    elif how == "the index itself":
        (store / "run/index").write_text("podnet.linux 1 0\nname web\0" + OTHER + "\n")
    else:
        head, _end, _text = (store / "run/index").read_text().partition("\n")
        (store / "run/index").write_text(f"{head}\nname web\0{OTHER}\n")
    found = records.Records().sandboxes()
    assert found.holders(claims.name("web")) == ([ID] if "index" in how else [])
    assert found.holders(claims.name("ftp")) == ([] if how == "deleted" or "index" in how else [ID])


def test_what_a_run_writes_is_known_to_it_and_to_the_next(store: Path) -> None:
    run = records.Records()
    assert run.sandboxes().holders(claims.name("web")) == []
    run.write("sandbox", ID, Sandbox(id=ID, name="web", hostname="web").as_record(), BOOT)
    assert run.sandboxes().holders(claims.name("web")) == [ID]
    run.write("sandbox", ID, Sandbox(id=ID, name="ftp", hostname="web").as_record(), BOOT)
    run.save_index()
    for seen in (run.sandboxes(), records.Records().sandboxes()):
        assert (seen.holders(claims.name("web")), seen.holders(claims.name("ftp"))) == ([], [ID])
    run.delete("sandbox", ID)
    run.save_index()
    assert run.sandboxes().holders(claims.name("ftp")) == [] and not list((store / "run").rglob("index"))


def test_a_newer_schema_is_refused(store: Path, network: Network) -> None:
    path = store / "lib/networks/pods0.json"
    write_record({**network.as_record(), "schema": records.SCHEMA + 1}, path)
    with pytest.raises(StateCorrupt, match=f"{path} has schema {records.SCHEMA + 1}"):
        records.Records().networks()


def test_an_older_schema_is_migrated(store: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    old = network.as_record()
    write_record({**{key: value for key, value in old.items() if key != "nat"}, "masquerade": False}, store / "lib/networks/pods0.json")
    monkeypatch.setattr(records, "SCHEMA", records.SCHEMA + 1)
    monkeypatch.setitem(records.MIGRATIONS, records.SCHEMA - 1, lambda record: {**record, "nat": record["masquerade"]})
    assert records.Records().networks()["pods0"].nat is False


@pytest.mark.parametrize("schema", (None, "1", 1.0, [], 0, -1))
def test_a_schema_that_is_none_is_refused(store: Path, network: Network, schema: object) -> None:
    write_record({**network.as_record(), "schema": schema}, store / "lib/networks/pods0.json")
    with pytest.raises(StateCorrupt, match=r"pods0\.json"):
        records.Records().networks()


@pytest.mark.parametrize(
    "change", ({"subnets": None}, {"subnets": ["x"]}, {"id": None}, {"mtu": "many"}, {"removing": None, "id": 3}, {"ranges": [3]})
)
def test_a_record_that_is_not_whole_is_named(store: Path, network: Network, change: dict[str, Any]) -> None:
    write_record({**network.as_record(), **change}, store / "lib/networks/pods0.json")
    with pytest.raises(StateCorrupt, match=r"pods0\.json does not hold a whole record|pods0\.json holds"):
        records.Records().networks()


def test_a_record_under_the_name_of_another_is_refused(store: Path, network: Network) -> None:
    write_record(network.as_record(), store / "lib/networks/pods.json")
    with pytest.raises(StateCorrupt, match=r"pods\.json holds the record of pods0"):
        records.Records().networks()


def books(key: str = "pods0") -> dict[Any, str]:
    """What is leased of a pool, and by whom, read anew."""
    return leases.Shelf(key).everything()


def test_a_lease_comes_back(store: Path) -> None:
    for held in (A, B, BLOCK):
        leases.take("pods0", held, ID, None, BOOT)
    assert books() == {A: ID, B: ID, BLOCK: ID} and list(leases.load()) == ["pods0"]
    assert set(leases.Shelf("pods0").held_by(ID)) == {A, B, BLOCK}


def test_a_lease_tells_who_when_and_in_which_boot(store: Path) -> None:
    leases.take("pods0", A, ID, None, BOOT)
    lease = leases.Shelf("pods0").lease(A)
    assert lease is not None and (lease["owner"], lease["boot_id"]) == (ID, BOOT)
    assert abs(lease["time"] - time.time()) < 60


def test_a_released_lease_leaves_nothing(store: Path) -> None:
    for held in (A, BLOCK):
        leases.take("pods0", held, ID, None, BOOT)
    for held in (A, BLOCK):
        leases.release("pods0", held, ID)
    files.sweep_temporaries()
    assert not leases.load() and not (store / "lib").exists()


def test_a_released_lease_leaves_the_others_of_its_owner(store: Path) -> None:
    for held in (A, B):
        leases.take("pods0", held, ID, None, BOOT)
    leases.release("pods0", A, ID)
    assert leases.Shelf("pods0").held_by(ID) == [B]


def test_releasing_what_another_holds_does_nothing(store: Path) -> None:
    leases.take("pods0", A, ID, None, BOOT)
    leases.release("pods0", A, "other")
    assert books() == {A: ID}


def test_a_lease_is_handed_over(store: Path) -> None:
    leases.take("pods0", A, "old", None, BOOT)
    leases.take("pods0", A, "new", "old", BOOT)
    assert books() == {A: "new"}
    assert [path.name for path in (store / "lib/leases/pods0/owners").iterdir()] == ["new"]


@pytest.mark.parametrize("owner", ("../a/b~c %\n..", ".", "..", "/", "\u2603" * 255, "x" * 255, ".x"))
def test_an_owner_may_have_any_name(store: Path, owner: str) -> None:
    leases.take("pods0", A, owner, None, BOOT)
    assert books() == {A: owner} and leases.Shelf("pods0").held_by(owner) == [A]
    (path,) = (path for path in store.rglob("*") if path.parent.name == "owners")
    assert path.parent == store / "lib/leases/pods0/owners"


def test_owners_whose_names_look_alike_stay_apart(store: Path) -> None:
    names = ("a", "A", "a.b", "a/b", "a%2Fb", "x" * 254, "x" * 255, ".x", "x")
    for number, owner in enumerate(names):
        leases.take("pods0", ip_address(number), owner, None, BOOT)
    for number, owner in enumerate(names):
        assert leases.Shelf("pods0").held_by(owner) == [ip_address(number)]


@pytest.mark.parametrize("pool", ("..", ".", "a/b", "pool:..", "pool:."))
def test_a_pool_never_leads_out_of_the_store(store: Path, pool: str) -> None:
    leases.take(pool, A, ID, None, BOOT)
    (path,) = (path for path in store.rglob("10.90.0.2"))
    assert path.parent.parent in (store / "lib/leases", store / "lib/pools")
    assert list(leases.load()) == [pool]


def test_a_pool_and_a_network_of_one_name_are_two(store: Path) -> None:
    leases.take("pods0", A, "one", None, BOOT)
    leases.take("pool:pods0", A, "other", None, BOOT)
    assert (books(), books("pool:pods0")) == ({A: "one"}, {A: "other"})


def test_a_cursor_comes_back_per_family_and_block_size(store: Path) -> None:
    for key, address in (("4", A), ("6", B), ("4-24", A)):
        leases.set_cursor("pods0", key, address)
    assert [leases.Shelf("pods0").cursor(key) for key in ("4", "6", "4-24", "6-64")] == [A, B, A, None]
    assert not books()


def test_a_cursor_can_be_taken_away(store: Path) -> None:
    leases.set_cursor("pods0", "4", A)
    leases.set_cursor("pods0", "4", None)
    files.sweep_temporaries()
    assert not leases.load() and not (store / "lib").exists()


def test_white_space_in_a_lease_does_not_count(store: Path) -> None:
    leases.take("pods0", A, ID, None, BOOT)
    path = store / "lib/leases/pods0/10.90.0.2"
    path.write_text(f'\n\t {{ "held" : " {A}\\n" , "owner":"{ID} "}} \n\n')
    assert books() == {A: ID}


@pytest.mark.parametrize("text", ("", " ", "\0", "{}", "[]", '{"held": "10.90.0.3", "owner": "x"}', '{"held": "10.90.0.2", "owner": ""}'))
def test_a_garbled_lease_is_named_and_never_free(store: Path, text: str) -> None:
    leases.take("pods0", A, ID, None, BOOT)
    path = store / "lib/leases/pods0/10.90.0.2"
    path.write_text(text)
    for look in (lambda shelf: shelf.owner_of(A), lambda shelf: shelf.held_by(ID), lambda shelf: shelf.everything()):
        with pytest.raises(StateCorrupt, match=f"{path} is empty or garbled"):
            look(leases.Shelf("pods0"))
    assert leases.Shelf("pods0").addresses() == [A]


@pytest.mark.parametrize("name", ("x", "10.90.0.300", "10.90.0.2~owner", "blocks/10.90.0.1_24", "blocks/x"))
def test_what_is_no_lease_is_named(store: Path, name: str) -> None:
    path = store / "lib/leases/pods0" / name
    path.parent.mkdir(parents=True)
    path.write_text("")
    with pytest.raises(StateCorrupt, match=f"{path} is no lease"):
        books()


@pytest.mark.parametrize("text", ("", "fd00::1\n", "x"))
def test_a_garbled_cursor_is_named(store: Path, text: str) -> None:
    path = store / "lib/leases/pods0/cursor4"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(StateCorrupt, match="cursor4"):
        leases.Shelf("pods0").cursor("4")


def test_what_is_no_pool_is_named(store: Path) -> None:
    (store / "lib/leases").mkdir(parents=True)
    (store / "lib/leases/stray").write_text("")
    with pytest.raises(StateCorrupt, match="stray"):
        leases.load()


def test_half_written_leases_do_not_count(store: Path) -> None:
    leases.take("pods0", A, ID, None, BOOT)
    (store / "lib/leases/pods0/.10.90.0.3.0123456789ab").write_text("")
    assert books() == {A: ID}


@pytest.mark.parametrize("step", (1, 2, 3))
def test_a_killed_lease_is_whole_or_not_there(store: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Its owner finds it or gets it anew; where the list of what it holds is wrong, prune is told."""

    def die(*_args: Any, **_words: Any) -> None:
        nonlocal step
        step -= 1
        if not step:
            raise KeyboardInterrupt

    leases.take("pods0", B, "other", None, BOOT)
    for name in ("write_json", "unlink"):
        do = getattr(files, name)
        monkeypatch.setattr(files, name, lambda *args, do=do: (die(), do(*args)))
    with contextlib.suppress(KeyboardInterrupt):
        leases.take("pods0", A, ID, None, BOOT)
    shelf = leases.Shelf("pods0")
    assert shelf.held_by(ID) == ([A] if shelf.owner_of(A) else [])
    monkeypatch.undo()
    for name, below in {"LIB": "lib", "LEASES": "lib/leases", "RUN": "run"}.items():
        monkeypatch.setattr(paths, name, str(store / below))
    for owner, held in leases.Shelf("pods0").misfiled().items():
        leases.relist("pods0", owner, held)
    assert not leases.Shelf("pods0").misfiled() and leases.Shelf("pods0").held_by(ID) == ([A] if shelf.owner_of(A) else [])


def test_lost_lists_are_found_and_written_anew(store: Path) -> None:
    for held, owner in ((A, "a"), (B, "b"), (BLOCK, "b")):
        leases.take("pods0", held, owner, None, BOOT)
    directory = store / "lib/leases/pods0/owners"
    (directory / "a").unlink()
    assert leases.Shelf("pods0").misfiled() == {"a": [A]}
    shutil.rmtree(directory)
    assert set(leases.Shelf("pods0").held_by("b")) == {B, BLOCK}
    for owner, held in leases.Shelf("pods0").misfiled().items():
        leases.relist("pods0", owner, held)
    assert sorted(path.name for path in directory.iterdir()) == ["a", "b"] and not leases.Shelf("pods0").misfiled()


def test_a_pool_whose_record_is_lost_is_named(store: Path) -> None:
    assert records.load_pool("fleet") is None
    leases.take("pool:fleet", A, "a", None, BOOT)
    with pytest.raises(StateCorrupt, match=r"pools/fleet/pool\.json is missing"):
        records.load_pool("fleet")


def test_forgetting_a_pool_takes_its_cursors(store: Path) -> None:
    leases.set_cursor("pods0", "4", A)
    leases.forget("pods0")
    assert not leases.load()


def test_a_pool_with_leases_is_not_forgotten(store: Path) -> None:
    leases.take("pods0", A, ID, None, BOOT)
    with pytest.raises(OSError):
        leases.forget("pods0")
    assert books() == {A: ID}


def test_an_ordinary_user_keeps_pools_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/user")
    for state, root in (("/state", "/state"), ("relative", "/home/user/.local/state"), ("", "/home/user/.local/state")):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        assert (paths.pools(), paths.lock()) == (f"{root}/podnet/pools", f"{root}/podnet/lock")


def test_a_second_holder_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "run/lock"
    with held(path), pytest.raises(LockTimeout, match=f"{path} for more than 0.1 seconds"), lock.locked(str(path), timeout=0.1):
        pass


def test_a_lock_is_free_after_its_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    for _number in range(2):
        with lock.locked(path, timeout=0):
            pass


def test_a_lock_is_free_after_a_failure(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with pytest.raises(RuntimeError), lock.locked(path, timeout=0):
        raise RuntimeError
    with lock.locked(path, timeout=0):
        pass


def test_readers_share(tmp_path: Path) -> None:
    with held(tmp_path / "lock", fcntl.LOCK_SH), lock.locked(str(tmp_path / "lock"), timeout=0, shared=True):
        pass


def test_a_reader_waits_for_a_writer(tmp_path: Path) -> None:
    with held(tmp_path / "lock"), pytest.raises(LockTimeout), lock.locked(str(tmp_path / "lock"), timeout=0, shared=True):
        pass


def test_a_writer_waits_for_a_reader(tmp_path: Path) -> None:
    with held(tmp_path / "lock", fcntl.LOCK_SH), pytest.raises(LockTimeout), lock.locked(str(tmp_path / "lock"), timeout=0):
        pass


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    with lock.locked(str(tmp_path / "run/lock"), timeout=0, shared=True):
        assert not list(tmp_path.iterdir())


def test_a_lock_is_never_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError), lock.locked(str(tmp_path / "lock"), timeout=0):
        pass
    assert not (tmp_path / "victim").exists()
