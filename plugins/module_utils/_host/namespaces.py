# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces: made, pinned, entered and told apart, all in this process."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from .._errors import InvalidArgument, KernelError, NotOurs
from .._store import paths
from . import syscalls

Identity = tuple[int, int]
"""(device, inode): what a namespace is, for as long as this boot lasts (namespaces(7))."""


@cache
def _home(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def identity(path: str) -> Identity | None:
    """None where nothing is, or where it is no namespace."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_dev == host_identity("net")[0] else None


@cache
def host_identity(kind: str) -> Identity:
    status = os.fstat(_home(kind))
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def entered(paths: Mapping[str, str]) -> Iterator[None]:
    """Be inside the namespaces at these paths (by kind), and back in the host's afterwards."""
    fds = {kind: os.open(path, os.O_RDONLY | os.O_CLOEXEC) for kind, path in paths.items()}
    for kind in fds:
        _home(kind)
    try:
        for kind, fd in fds.items():
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) == host_identity(kind):
                raise NotOurs(f"{paths[kind]} is the host's own {kind} namespace, which is never touched")
            syscalls.setns(fd, syscalls.CLONE[kind])
        yield
    finally:
        for kind, fd in fds.items():
            os.close(fd)
            _go_home(kind)


def create(kinds: tuple[str, ...], furnish: Callable[[], None]) -> dict[str, int]:
    """New namespaces, furnished from inside, as open descriptors that the caller pins and closes.

    Nothing else can see them before. Raises what ``furnish`` raises, and OSError.
    """
    for kind in kinds:
        _home(kind)
    flags = 0
    for kind in kinds:
        flags |= syscalls.CLONE[kind]
    fds: dict[str, int] = {}
    try:
        syscalls.unshare(flags)
        for kind in kinds:
            fds[kind] = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(fds[kind])
            if (status.st_dev, status.st_ino) == host_identity(kind):
                raise KernelError(f"unshare gave no {kind} namespace of its own; is the kernel built with it?")
        furnish()
    except BaseException:
        for fd in fds.values():
            os.close(fd)
        raise
    finally:
        for kind in kinds:
            _go_home(kind)
    return fds


def pin(pins: Mapping[str, str]) -> None:
    """Bind namespaces (the values) to paths (for one of nets, see share_pins()); all of them or none.

    An empty file there is one that a killed run left; anything else is refused.
    """
    places: list[str] = []
    try:
        for target in pins:
            _make_place(target)
            places.append(target)
        # Right after each other: systemd reads all mounts that there are anew whenever it is told of one.
        for target, source in pins.items():
            syscalls.mount(source, target, syscalls.MS_BIND)
    except BaseException:
        for target in places:
            unpin(target)
        raise


def _make_place(target: str) -> None:
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    try:
        os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    except FileExistsError:
        status = os.lstat(target)
        if identity(target) is not None or status.st_size or not os.path.isfile(target) or os.path.islink(target):
            raise NotOurs(f"{target} exists and is not ours; move it away") from None


def share_pins() -> None:
    """Make the directory of pins a shared mount of its own, as ip-netns(8) does with the first namespace it is told to add.

    Were that left to ip, it would bind the directory over pins that lie in it, which then cannot be removed any more.
    """
    directory = paths.NETNS
    os.makedirs(directory, mode=0o755, exist_ok=True)
    try:
        syscalls.mount("none", directory, syscalls.MS_SHARED)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.mount(directory, directory, syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.mount("none", directory, syscalls.MS_SHARED | syscalls.MS_REC)


def unpin(path: str) -> None:
    """Undo pin(); fine where nothing is."""
    while identity(path) is not None:
        try:
            syscalls.umount(path, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def set_hostname(name: str) -> None:
    """Of the UTS namespace this process is in; never the host's."""
    if identity("/proc/self/ns/uts") == host_identity("uts"):
        raise KernelError("refusing to change the host's own name")
    syscalls.sethostname(name)


def sysctl_path(name: str) -> str:
    """Dots separate and a slash stands for a dot, as sysctl(8) has it; with slashes only, slashes separate."""
    if "." not in name or ("/" in name and name.index("/") < name.index(".")):
        return f"/proc/sys/{name}"
    return "/proc/sys/" + name.translate(str.maketrans("./", "/."))


def read_sysctl(name: str) -> str | None:
    """White space normalised; None where the kernel has no such setting."""
    try:
        with open(sysctl_path(name), encoding="ascii") as file:
            return " ".join(file.read().split())
    except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError):
        return None


def write_sysctl(name: str, value: str) -> None:
    """Raises InvalidArgument where the kernel has no such setting or takes no such value, OSError otherwise."""
    try:
        with open(sysctl_path(name), "w", encoding="ascii") as file:
            file.write(value)
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidArgument.of("sysctls", name, "does not exist in this namespace on this kernel") from None
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise InvalidArgument.of(f"sysctls.{name}", value, "is refused by the kernel") from None
        raise


def sysctl_writable(name: str) -> bool:
    return os.access(sysctl_path(name), os.W_OK)


def _go_home(kind: str) -> None:
    """Back to the host's namespace. Going on in somebody else's would be the worst outcome: stop at once instead."""
    try:
        syscalls.setns(_home(kind), syscalls.CLONE[kind])
    except OSError:
        os._exit(70)
