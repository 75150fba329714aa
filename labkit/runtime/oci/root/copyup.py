"""tmpcopyup: a tmpfs that begins with what its directory held."""

from __future__ import annotations

import os
import stat

from labkit.runtime.kernel import filedata
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.kernel.mountoptions import MountOptions
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.shlex import quote


def describe(target: str, words: str, options: MountOptions) -> str:
    """For a shell; it keeps the directory in view by binding it elsewhere. ``target`` is quoted."""
    propagation = "".join(f" && mount --make-{word} {target}" for word in options.propagation)
    words = ",".join(word for word in words.split(",") if word not in options.propagation)
    return (
        f"mkdir -p {target} && covered=$(mktemp -d) && mount --bind {target} $covered && "
        f"mount -t tmpfs -o {quote(words)} tmpfs {target} && cp -a $covered/. {target}/ && "
        f"umount $covered && rmdir $covered{propagation}"
    )


def copy(covered: int, top: int, path: str) -> None:
    """Everything from one open directory (O_PATH), over which the other now lies, to that other. KernelError if not."""
    # A descriptor of a directory that is covered shows what lies below: no second place is needed to look from.
    with kernel_error(f"what is in {path} cannot be copied to its tmpfs"):
        _tree(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=covered), top)


def _tree(source: int, target: int) -> None:
    """Copy a directory's entries; closes ``source``."""
    try:
        for name in os.listdir(source):
            _entry(source, target, name)
    finally:
        os.close(source)


def _entry(source: int, target: int, name: str) -> None:
    there = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(there.st_mode)
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, there.st_uid, there.st_gid, dir_fd=target, follow_symlinks=False)
        return
    if kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        with kept_open(os.open(name, flags, dir_fd=target)) as inner:
            _tree(os.open(name, flags, dir_fd=source), inner)
            _take_over(there, f"/proc/self/fd/{inner}")
        return
    if kind == stat.S_IFREG:
        _file(source, target, name)
    else:
        os.mknod(name, there.st_mode, there.st_rdev, dir_fd=target)
    with kept_open(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)) as handle:
        _take_over(there, f"/proc/self/fd/{handle}")


def _file(source: int, target: int, name: str) -> None:
    to_read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    to_write = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    with open(to_read, "rb") as read, open(to_write, "wb") as write:
        filedata.copy(read.fileno(), write.fileno())
        for attribute in os.listxattr(read.fileno()):
            # A tmpfs has no user.* attributes before Linux 6.6.
            with suppress(OSError):
                os.setxattr(write.fileno(), attribute, os.getxattr(read.fileno(), attribute))


def _take_over(there: os.stat_result, place: str) -> None:
    """Owner first: chown(2) takes setuid bits away."""
    os.chown(place, there.st_uid, there.st_gid)
    os.chmod(place, stat.S_IMODE(there.st_mode))
    os.utime(place, ns=(there.st_atime_ns, there.st_mtime_ns))
