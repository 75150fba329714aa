"""mount(2), umount2(2), pivot_root(2) and the table in /proc/PID/mountinfo (proc(5))."""

from __future__ import annotations

import errno
import os
import struct

from labkit.errors import KernelError
from labkit.runtime.kernel import libc
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std import ctypes
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import suppress

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MNT_DETACH = 0x2
_AT_FDCWD = -100
_OPEN_TREE_CLONE = 0x1
_MOUNT_ATTR_IDMAP = 0x00100000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

#: f_type of statfs(2), as the kernel's include/uapi/linux/magic.h and aufs_type.h have it.
TMPFS_MAGIC = 0x01021994
PROC_MAGIC = 0x9FA0
OVERLAYFS_MAGIC = 0x794C7630
AUFS_MAGIC = 0x61756673

#: Flags that a mount may keep for good when it is copied into a user namespace; statvfs(3) has the same numbers.
_LOCKABLE = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "", shown: str = "") -> None:
    """mount(2). ``kind`` is the file system's type, ``data`` its own options.

    ``shown`` is what an error's message calls the target, where that is but the number of a descriptor.
    """
    what = f"mount({source or 'none'} on {shown or target}{', ' + kind if kind else ''}{', ' + data if data else ''})"
    libc.call("mount", source or "none", target, kind or None, flags, data or None, what=what)


def remount(target: str, flags: int, cleared: int = 0, shown: str = "") -> None:
    """Give one mount point these flags and no others, its file system untouched (mount(2), MS_REMOUNT | MS_BIND).

    In a user namespace a mount that came from outside has locked flags (mount_namespaces(7)): they are kept, except
    where one is in ``cleared``, since then it was asked for by name that it should go, and EPERM is the answer.
    """
    wanted = MS_REMOUNT | MS_BIND | flags
    try:
        mount("", target, flags=wanted, shown=shown)
    except KernelError as refused:
        locked = os.statvfs(target).f_flag & _LOCKABLE
        if refused.errno != errno.EPERM or not locked & ~flags:
            raise
        if locked & cleared:
            raise KernelError(
                f"the mount on {shown or target} keeps its flags in a user namespace, and one of them was to go",
                "take out rw, suid, dev, exec or atime, as the host's own mount has the opposite",
                errno.EPERM,
            ) from None
        mount("", target, flags=wanted | locked, shown=shown)


def set_recursively(descriptor: int, to_set: int, to_clear: int, shown: str) -> None:
    """Set and clear MOUNT_ATTR_… on a mount and on all that are below it, in one step (mount_setattr(2), Linux 5.12).

    KernelError with ENOSYS on an older kernel.
    """
    what = f"mount_setattr({shown}, AT_RECURSIVE, set {to_set:#x}, clear {to_clear:#x})"
    _set_attributes(descriptor, (to_set, to_clear, 0, 0), AT_RECURSIVE, what)


def map_numbers(descriptor: int, namespace: int, recursive: bool, shown: str) -> None:
    """Give a mount that ``copy_of`` made the maps of a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).

    KernelError: EINVAL where the file system cannot do it, EPERM where we have no rights over it.
    """
    hints = {
        errno.EINVAL: f"the file system of {shown} (or one below it) cannot do that on this kernel",
        errno.ENOSYS: "the option idmap needs mount_setattr(2), which came with Linux 5.12",
    }
    what = f"mount_setattr({shown}, MOUNT_ATTR_IDMAP)"
    _set_attributes(descriptor, (_MOUNT_ATTR_IDMAP, 0, 0, namespace), AT_RECURSIVE if recursive else 0, what, hints)


def _set_attributes(
    descriptor: int, attributes: tuple[int, ...], flags: int, what: str, hints: dict[int, str] | None = None
) -> None:
    """``attributes`` are struct mount_attr: attr_set, attr_clr, propagation, userns_fd."""
    packed = struct.pack("4Q", *attributes)
    libc.syscall("mount_setattr", descriptor, "", AT_EMPTY_PATH | flags, packed, len(packed), what=what, hints=hints)


def copy_of(path: str, recursive: bool) -> int:
    """A descriptor of a copy of what is mounted at ``path``, which lies nowhere yet (open_tree(2), Linux 5.2)."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return libc.syscall("open_tree", _AT_FDCWD, path, flags, what=f"open_tree({path}, OPEN_TREE_CLONE)")


def move_onto(copy: int, target: int, shown: str) -> None:
    """Mount what ``copy_of`` gave on what is open (move_mount(2))."""
    by_number = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    libc.syscall("move_mount", copy, "", target, "", by_number, what=f"move_mount(onto {shown})")


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
    return [(point, kind) for point, kind, _ in _mounted(table)]


def super_options(target: str, table: str = "/proc/self/mountinfo") -> str:
    """The file system's own options of what is mounted on ``target``, comma-separated; empty where nothing is."""
    found = [options for point, _, options in _mounted(table) if point == target]
    return found[-1] if found else ""  # a later mount lies over an earlier one


def _mounted(table: str) -> Iterator[tuple[str, str, str]]:
    with open(table, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.rstrip("\n").partition(" - ")
            kind, _, options = rest.split(" ", 2)
            yield _unescaped(fields.split(" ")[4]), kind, options


def is_mount_point(path: str) -> bool:
    """Whether something is mounted on it, a directory of the same file system included; OSError where it is not there.

    By the numbers of the mounts of it and of its parent (proc(5), /proc/PID/fdinfo, mnt_id).
    """
    return _mount_id_at(path) != _mount_id_at(os.path.dirname(path))


def mount_id(descriptor: int) -> int:
    """The number of the mount that what is open lies on (proc(5), /proc/PID/fdinfo)."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"mnt_id:"))


def _mount_id_at(path: str) -> int:
    with kept_open(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)) as descriptor:
        return mount_id(descriptor)


def stacked_on(target: str) -> int:
    """How many mounts lie on ``target``, one over the other."""
    return sum(point == target for point, _ in mount_points())


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


def has_filesystem(name: str) -> bool:
    """Whether mount(2) knows this type, its module loaded if there is one (/proc/filesystems): what the kernel itself
    says, and no number of a version.
    """

    def listed() -> bool:
        with open("/proc/filesystems", encoding="utf-8") as file:
            return any(line.split()[-1] == name for line in file)

    if listed():
        return True
    # Not by subprocess: its import costs as much as the start of Python, and a start of a container waits for this.
    silent = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    with suppress(FileNotFoundError):  # a system without modprobe has no modules to load
        os.waitpid(os.posix_spawnp("modprobe", ["modprobe", "--quiet", name], os.environ, file_actions=silent), 0)
    return listed()
