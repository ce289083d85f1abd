# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""resolv.conf inside a container's root: the root's owner may be hostile, so no path of it is ever trusted."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from .._errors import InvalidArgument
from .._store import files, paths
from . import syscalls

_NAME = "resolv.conf"
_LIMIT = 1 << 20
"""Bytes of a resolv.conf that are kept; more is nobody's resolv.conf."""


def read(root: str) -> str | None:
    """What a process in this root would read; None where it would find nothing."""
    try:
        with _opened(root) as top:
            data = _contents(syscalls.openat2_in_root(top, f"etc/{_NAME}", os.O_PATH))
    except (OSError, InvalidArgument):
        return None
    return None if data is None else data.decode(errors="replace")


def obstacle(root: str) -> str | None:
    """Why the root cannot be furnished, in a sentence; None where nothing is in the way."""
    try:
        with _opened(root) as top, contextlib.suppress(FileNotFoundError):
            os.stat("etc", dir_fd=top, follow_symlinks=False)
            _refuse_obstacle(root, _obstacle_in_etc(top))
    except InvalidArgument as error:
        return str(error)
    return None


def furnish(owner: str, root: str, content: str) -> None:
    """Replace etc/resolv.conf itself, never what it points to; where the root is read-only, mount over its target.

    What was there is kept for restore(). Raises InvalidArgument naming the root, OSError.
    """
    with _opened(root) as top:
        try:
            made = _make_etc(top)
            with _etc(top) as etc:
                _keep(owner, root, etc, made)
                files.write_at(etc, _NAME, content.encode())
                return
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
        _mount_over(owner, root, top, content)


def restore(owner: str, root: str) -> None:
    """Put back what furnish() found, unless somebody has changed the file since; fine where there is nothing to do."""
    kept = files.read_json(_kept(owner, root))
    if kept is None:
        return
    with contextlib.suppress(InvalidArgument), _opened(root) as top:
        _unmount(owner, root, top)
        try:
            with _etc(top) as etc:
                if owner in _text_at(etc):
                    _put_back(etc, kept)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.ENOENT):
                raise
        if kept.get("made_etc"):
            with contextlib.suppress(OSError):
                os.rmdir("etc", dir_fd=top)
    files.remove(_source(owner, root))
    files.remove(_kept(owner, root))


def _refuse_obstacle(root: str, why: str | None) -> None:
    if why is not None:
        raise InvalidArgument.of("rootfs", root, why)


def _obstacle_in_etc(top: int) -> str | None:
    try:
        with _etc(top) as etc:
            return _obstacle_at(etc)
    except OSError as error:
        return f"has an etc that is no directory inside it ({error.strerror}); make it one"


def _obstacle_at(etc: int) -> str | None:
    try:
        status = os.stat(_NAME, dir_fd=etc, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not (stat.S_ISLNK(status.st_mode) or stat.S_ISREG(status.st_mode)):
        return f"has an etc/{_NAME} that is neither a file nor a symlink; remove it"
    if status.st_size > _LIMIT:
        return f"has an etc/{_NAME} of more than {_LIMIT} bytes; make it smaller"
    return None


@contextlib.contextmanager
def _opened(root: str) -> Iterator[int]:
    try:
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidArgument.of("rootfs", root, f"is no directory ({error.strerror})") from None
    try:
        here, host = os.fstat(fd), os.stat("/")
        if (here.st_dev, here.st_ino) == (host.st_dev, host.st_ino):
            raise InvalidArgument.of("rootfs", root, "is the host's own root")
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _etc(top: int) -> Iterator[int]:
    fd = syscalls.openat2_in_root(top, "etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _make_etc(top: int) -> bool:
    """Whether it had to be made. O_PATH descriptors take a directory entry as well."""
    try:
        os.mkdir("etc", 0o755, dir_fd=top)
    except FileExistsError:
        return False
    return True


def _keep(owner: str, root: str, etc: int, made_etc: bool) -> None:
    """Write down what is there, once."""
    path = _kept(owner, root)
    if files.read_json(path) is not None:
        return
    _refuse_obstacle(root, _obstacle_at(etc))
    value: dict[str, Any] = {"root": root, "kind": "absent", "made_etc": made_etc}
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(_NAME, dir_fd=etc, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            value.update(kind="symlink", target=os.readlink(_NAME, dir_fd=etc))
        else:
            data = _contents(os.open(_NAME, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=etc))
            if data is None or len(data) > _LIMIT:
                raise InvalidArgument.of("rootfs", root, f"has an etc/{_NAME} that changes while it is read; run again")
            value.update(
                kind="file", data=base64.b64encode(data).decode(), mode=stat.S_IMODE(status.st_mode), owner=[status.st_uid, status.st_gid]
            )
    files.write_json(path, value)


def _put_back(etc: int, kept: dict[str, Any]) -> None:
    if kept["kind"] == "file":
        files.write_at(etc, _NAME, base64.b64decode(kept["data"]), mode=kept["mode"])
        with contextlib.suppress(PermissionError):
            os.chown(_NAME, *kept["owner"], dir_fd=etc, follow_symlinks=False)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NAME, dir_fd=etc)
    if kept["kind"] == "symlink":
        os.symlink(kept["target"], _NAME, dir_fd=etc)


def _text_at(etc: int) -> str:
    try:
        data = _contents(os.open(_NAME, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=etc))
    except OSError:
        return ""
    return (data or b"").decode(errors="replace")


def _contents(fd: int) -> bytes | None:
    """Of a plain file, at most one byte more than the limit. Anything else (a device, say) is not even opened."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            return file.read(_LIMIT + 1)
    finally:
        os.close(fd)


def _mount_over(owner: str, root: str, top: int, content: str) -> None:
    source = _source(owner, root)
    _unmount(owner, root, top)
    try:
        target = syscalls.openat2_in_root(top, f"etc/{_NAME}", os.O_PATH)
    except FileNotFoundError:
        raise InvalidArgument.of("rootfs", root, f"is read-only and has no etc/{_NAME} to mount over; make an empty one") from None
    try:
        if files.read_json(_kept(owner, root)) is None:
            files.write_json(_kept(owner, root), {"root": root, "kind": "mounted"})
        files.write(source, content)
        syscalls.mount(source, f"/proc/self/fd/{target}", syscalls.MS_BIND)
    finally:
        os.close(target)


def _unmount(owner: str, root: str, top: int) -> None:
    """Our own mount only: told by the file that is its source."""
    try:
        ours = os.stat(_source(owner, root))
    except FileNotFoundError:
        return
    while True:
        try:
            target = syscalls.openat2_in_root(top, f"etc/{_NAME}", os.O_PATH)
        except OSError:
            return
        try:
            here = os.fstat(target)
            if (here.st_dev, here.st_ino) != (ours.st_dev, ours.st_ino):
                return
            syscalls.umount(f"/proc/self/fd/{target}", syscalls.MNT_DETACH)
        finally:
            os.close(target)


def _kept(owner: str, root: str) -> str:
    return f"{paths.ROOTFS}/{owner}-{_digest(root)}.json"


def _source(owner: str, root: str) -> str:
    return f"{paths.sandbox_directory(owner)}/rootfs-{_digest(root)}"


def _digest(root: str) -> str:
    return hashlib.sha256(root.encode()).hexdigest()[:12]
