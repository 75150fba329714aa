"""Opening and making things inside a root file system, so that nothing in it leads outside, not even while we look.

The text of a path (``inroot.resolve``) says where it would lead now. Here every step is taken on a descriptor: with
openat2(2) and RESOLVE_IN_ROOT (Linux 5.6) by the kernel, and by ``_walk`` where that is not there or something is to be
made. What is mounted is mounted on ``/proc/self/fd/N``, and so on what was looked at.
"""

from __future__ import annotations

import errno
import os
import stat

from labkit.errors import KernelError
from labkit.runtime.kernel import libc, mounts
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.std import ctypes

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
#: As many links as the kernel follows (path_resolution(7)).
_MAXIMUM_LINKS = 40
_LOOK = os.O_PATH | os.O_CLOEXEC


class _How(ctypes.Structure):
    """struct open_how (openat2(2))."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("flags", "mode", "resolve"))


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
    try:
        return _entry(parent, name, path)
    finally:
        os.close(parent)


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


def _found(rootfs: str, path: str, make: str) -> int:
    with kernel_error(f"the root file system {rootfs}"):
        root = os.open(rootfs, _LOOK | os.O_DIRECTORY)
    try:
        found = _openat2(root, path)
        if found is None and make:
            found = _made(root, path, make)
        return _walk(root, path, make) if found is None else found
    except OSError as error:
        raise KernelError(f"{path} in {rootfs}: {error.strerror}", errno=error.errno or 0) from error
    finally:
        os.close(root)


def _openat2(root: int, path: str) -> int | None:
    """The kernel's answer, or None where it has none: an old kernel, nothing there, or a race that it noticed.

    What to do about a refusal, and its words, are ``_walk``'s.
    """
    how = _How(_LOOK, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    try:
        return libc.syscall("openat2", root, path.lstrip("/") or ".", ctypes.byref(how), ctypes.sizeof(how))
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
    try:
        made = _open_or_make(directory, name, make)
    finally:
        os.close(directory)
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
            try:
                target = _link_target(here)
            finally:
                os.close(here)
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
