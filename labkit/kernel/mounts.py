"""mount(2), umount2(2), pivot_root(2) and the table in /proc/PID/mountinfo (proc(5))."""

from __future__ import annotations

import ctypes
import errno
import os

from labkit.errors import KernelError
from labkit.kernel import libc

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MNT_DETACH = 0x2

#: f_type of statfs(2), as the kernel's include/uapi/linux/magic.h and aufs_type.h have it.
TMPFS_MAGIC = 0x01021994
OVERLAYFS_MAGIC = 0x794C7630
AUFS_MAGIC = 0x61756673

#: The options of mount(8) that are flags of mount(2); what is not here goes to the file system as it stands.
OPTION_FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "remount": MS_REMOUNT,
    "rw": 0,
    "defaults": 0,
}


def split_options(options: list[str] | tuple[str, ...]) -> tuple[int, str]:
    """mount(8)'s words as mount(2) wants them: the flags, and the rest as one comma-separated string."""
    flags = 0
    data = []
    for option in options:
        if option in OPTION_FLAGS:
            flags |= OPTION_FLAGS[option]
        else:
            data.append(option)
    return flags, ",".join(data)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). ``kind`` is the file system's type, ``data`` its own options."""
    what = f"mount({source or 'none'} on {target}{', ' + kind if kind else ''}{', ' + data if data else ''})"
    libc.call("mount", source or "none", target, kind or None, flags, data or None, what=what)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    libc.call("umount2", target, flags, what=f"umount({target})")


def detach_if_mounted(target: str) -> None:
    """Take away every mount on ``target``, also one that is in use; nothing where nothing is mounted.

    The bound is for a mount point that something else mounts as fast as we unmount.
    """
    for _ in range(100):
        try:
            umount(target, MNT_DETACH)
        except KernelError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):  # not a mount point; not there
                return
            raise


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` (a mount point) the root of this mount namespace, and put the old one on ``put_old``."""
    libc.syscall("pivot_root", new_root, put_old, what=f"pivot_root({new_root}, {put_old})")


def mount_points(table: str = "/proc/self/mountinfo") -> list[tuple[str, str]]:
    """``(mount point, file system type)`` of every mount, in the order in which they were made (proc(5))."""
    result = []
    with open(table, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            result.append((_unescaped(fields.split(" ")[4]), rest.split(" ", 1)[0]))
    return result


def super_options(target: str, table: str = "/proc/self/mountinfo") -> str:
    """The file system's own options of what is mounted on ``target``, comma-separated; empty where nothing is."""
    found = ""
    with open(table, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if _unescaped(fields.split(" ")[4]) == target:
                found = rest.rstrip("\n").split(" ", 2)[2]  # a later mount lies over an earlier one
    return found


def filesystem_magic(path: str) -> int:
    """Which file system ``path`` lies on, as one of the ``…_MAGIC`` numbers; where it is not there yet, its parent.

    f_type is the first member of struct statfs, a long (statfs(2)); Python's os.statvfs does not have it.
    """
    while not os.path.exists(path):
        path = os.path.dirname(os.path.abspath(path))
    buffer = (ctypes.c_long * 32)()  # 120 bytes on 64-bit machines
    libc.call("statfs", path, ctypes.byref(buffer), what=f"statfs({path})")
    return int(buffer[0])


def _unescaped(path: str) -> str:
    # Space, tab, newline and backslash stand there in octal: "\040".
    for character in " \t\n\\":
        path = path.replace(f"\\{ord(character):03o}", character)
    return path
