"""Opening and making things inside a root file system, so that nothing in it leads outside, not even while we look.

The text of a path (``resolve``) says where it would lead now. All else here takes every step on a descriptor: with
openat2(2) and RESOLVE_IN_ROOT (Linux 5.6) by the kernel, and by ``_walk`` where that is not there or something is to be
made. What is mounted is mounted on ``/proc/self/fd/N``, and so on what was looked at.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from labkit.errors import ConfigError, KernelError
from labkit.runtime.kernel import libc, mounts
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.types import TracebackType

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
#: As many links as the kernel follows (path_resolution(7)).
_MAXIMUM_LINKS = 40
_LOOK = os.O_PATH | os.O_CLOEXEC
#: struct open_how (openat2(2)): flags, mode, resolve.
_HOW = struct.Struct("3Q")


def resolve(root: str, path: str) -> str:
    """The place of ``path`` below ``root``, each link read as the container would read it: absolute from ``root``.

    The last components need not exist. ConfigError for more than 40 links. It tells what there is at this moment: to
    change something that others may be changing, see rootdir.py.
    """
    pending = [part for part in path.split("/") if part]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop(0)
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        try:
            target = os.readlink(os.path.join(root, *done, part))
        except OSError:  # no link, or nothing there
            done.append(part)
            continue
        links += 1
        if links > _MAXIMUM_LINKS:
            raise ConfigError(f"{path} in the root file system {root} leads through more than {_MAXIMUM_LINKS} links")
        if target.startswith("/"):
            done = []
        pending = [step for step in target.split("/") if step] + pending
    return os.path.join(root, *done)


def find(rootfs: str, path: str) -> int:
    """A descriptor (O_PATH) of what the container will see as ``path``. KernelError with ENOENT if there is nothing."""
    return _found(rootfs, path, make="")


def directory(rootfs: str, path: str, follow: bool = True) -> int:
    """The same of a directory, made with its parents (mode 0755) where it is missing.

    Without ``follow`` the last component must not be a symbolic link: KernelError with ENOTDIR.
    """
    if follow:
        return _found(rootfs, path, make="directory")
    parent, name = place(rootfs, path)
    with kept_open(parent):
        return _entry(parent, name, path)


def file(rootfs: str, path: str) -> int:
    """The same of a file to mount another one on: an empty one is made where there is nothing."""
    return _found(rootfs, path, make="file")


def place(rootfs: str, path: str) -> tuple[int, str]:
    """The directory that ``path`` lies in, made where it is missing, and the last component: for nodes and links."""
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise KernelError(f"{path} names no entry of a directory", errno=errno.EINVAL)
    return directory(rootfs, parent or "/"), name


def path_inside(rootfs: str, descriptor: int) -> str:
    """Where the container sees what is open: its path without the root file system's. ``rootfs`` is a real path."""
    seen = os.readlink(f"/proc/self/fd/{descriptor}")
    return "/" + seen[len(rootfs.rstrip("/")) :].lstrip("/")


@dataclass(frozen=True)
class Place:
    """An open directory and a name in it; the empty name is the directory itself. Closed at the end of a ``with``."""

    directory: int
    name: str
    kind: int
    """st_mode of what is there; 0 where there is nothing."""

    @property
    def is_directory(self) -> bool:
        """Whether one is there."""
        return stat.S_ISDIR(self.kind)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.directory)


def end_of(root: str, path: str, follow: bool = True) -> Place:
    """Where ``path`` leads at the end of all its links, the last of which may lead to what is yet to be made; without
    ``follow`` a link at its end is what is meant.

    KernelError with ENOENT or ENOTDIR where the directory is missing, with ELOOP for too many links.
    """
    for _ in range(_MAXIMUM_LINKS):
        parent, name = os.path.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            opened = open_directory(root, path)
            return Place(opened, "", os.fstat(opened).st_mode)
        directory = open_directory(root, parent)
        try:
            kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            target = os.readlink(name, dir_fd=directory) if follow and stat.S_ISLNK(kind) else ""
        except FileNotFoundError:
            return Place(directory, name, 0)
        except OSError as error:
            os.close(directory)
            raise KernelError(f"{path} in {root}: {error.strerror}", errno=error.errno or 0) from error
        if not target:
            return Place(directory, name, kind)
        os.close(directory)
        path = os.path.join(parent, target)
    raise KernelError(f"{path} in {root}: {os.strerror(errno.ELOOP)}", errno=errno.ELOOP)


def open_directory(root: str, path: str) -> int:
    """A directory, open for reading. KernelError."""
    with kept_open(find(root, path)) as found, kernel_error(f"{path} in {root}"):
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _found(rootfs: str, path: str, make: str) -> int:
    with kernel_error(f"the root file system {rootfs}"):
        root = os.open(rootfs, _LOOK | os.O_DIRECTORY)
    with kept_open(root), kernel_error(f"{path} in {rootfs}"):
        found = _openat2(root, path)
        if found is None and make:
            found = _made(root, path, make)
        return _walk(root, path, make) if found is None else found


def _openat2(root: int, path: str) -> int | None:
    """The kernel's answer, or None where it has none: an old kernel, nothing there, or a race that it noticed.

    What to do about a refusal, and its words, are ``_walk``'s.
    """
    how = _HOW.pack(_LOOK, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    try:
        return libc.syscall("openat2", root, path.lstrip("/") or ".", how, _HOW.size)
    except KernelError:
        return None


def _made(root: int, path: str, make: str) -> int | None:
    """The last component, made in a directory that is there; None where that is not so, or the name is a link's."""
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        return None
    directory = _openat2(root, parent)
    if directory is None:
        return None
    with kept_open(directory):
        made = _open_or_make(directory, name, make)
    if stat.S_ISLNK(os.fstat(made).st_mode):
        os.close(made)
        return None
    return made


def _walk(root: int, path: str, make: str) -> int:
    """Component by component, each opened below the one before it and without following links.

    The descriptors so far are kept, so that ``..`` steps back to where we came from, whatever has been renamed since.
    """
    pending = _parts(path)
    trail = [os.dup(root)]
    links = 0
    try:
        while pending:
            name = pending.pop(0)
            if name == "..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            here = _open_or_make(trail[-1], name, make if not pending else make and "directory")
            if not stat.S_ISLNK(os.fstat(here).st_mode):
                trail.append(here)
                continue
            with kept_open(here):
                target = _link_target(here)
            links += 1
            if links > _MAXIMUM_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.startswith("/"):
                while len(trail) > 1:
                    os.close(trail.pop())
            pending[:0] = _parts(target)
        return trail.pop()
    finally:
        for descriptor in trail:
            os.close(descriptor)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _link_target(link: int) -> str:
    """What a link says; the magic ones of /proc/PID say where they lead, and lead there by another way: refused."""
    target = os.readlink("", dir_fd=link)
    magic = target.startswith("/") or ":" in target
    if magic and mounts.filesystem_magic(f"/proc/self/fd/{link}") == mounts.PROC_MAGIC:
        raise OSError(errno.ELOOP, "a link of /proc that leads anywhere is not followed")
    return target


def _open_or_make(parent: int, name: str, make: str) -> int:
    flags = _LOOK | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    before = os.umask(0o022)
    try:
        if make == "directory":
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError:
        pass  # somebody was faster; whatever it is, it is opened without following it
    finally:
        os.umask(before)
    return os.open(name, flags, dir_fd=parent)


def _entry(parent: int, name: str, path: str) -> int:
    """A directory right below another, made where it is missing, and no link to one."""
    with kernel_error(path):
        found = _open_or_make(parent, name, "directory")
    if not stat.S_ISDIR(os.fstat(found).st_mode):
        os.close(found)
        raise KernelError(f"{path} is not an ordinary directory", errno=errno.ENOTDIR)
    return found
