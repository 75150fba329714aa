"""aufs, the union file system that Docker began with (aufs(5)). It never was in the mainline kernel; some
distributions built it as a module, Ubuntu up to 20.04.

What is mounted is a stack of *branches*, the topmost first. ``=rw`` takes what is written, ``=ro+wh`` is only read, and
its whiteouts count (with ``ro`` alone they do not). A whiteout of ``meeting`` is an empty file ``.wh.meeting``, a
directory that hides what lies below has a ``.wh..wh..opq`` in it.

Measured with the module for 6.1, and read in its source (fs/aufs/opts.c, branch.c), are the limits below.
"""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError, LabkitError
from labkit.runtime.kernel import kmsg, mounts
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import MakeTree
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote

LAYER_FORM = "aufs"
"""Which form of a layer it reads; see images/layers.py."""

#: mount(2) copies one page of options and cuts the rest off without a word. What is too much is appended by remounts.
OPTION_LIMIT = 4095

#: CONFIG_AUFS_BRANCH_MAX_127, what distributions build it with.
MOST_BRANCHES = 127

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"

#: What aufs makes for itself in a writable branch: the file that all whiteouts are hard links of, what was deleted
#: and is still open, and names of hard links. By name no content; ``.wh..wh..opq`` is.
CONTROL_NAMES = (".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk")

_SEPARATORS = {":": "a colon", "=": "an equals sign", ",": "a comma"}


def operations(rootfs: str, lowers: list[str], upper: str, work: str) -> list[Operation]:
    """Make the mount point and mount the stack on it. ``work`` is of no use here.

    KernelError for more than 127 branches, a path that aufs cannot be told, and a file system that it refuses.
    """
    if len(lowers) >= MOST_BRANCHES:
        raise KernelError(
            f"{len(lowers)} layers are too many for aufs, which takes {MOST_BRANCHES - 1} and the writable one",
            "build the image with fewer steps",
        )
    for path in (upper, *lowers):
        check_path(path)
    # tmpfs knew no user.* attributes before Linux 6.6, so that the copy-up of a file that has some would fail with
    # EOPNOTSUPP; "icex" lets aufs go on without them.
    on_tmpfs = check_filesystem(upper) == mounts.TMPFS_MAGIC
    for lower in lowers:
        check_filesystem(lower)
    return [MakeTree(rootfs), MountAufs(rootfs, branches(lowers, upper, "rw+icex" if on_tmpfs else "rw"))]


def branches(lowers: list[str], upper: str, writable: str = "rw") -> tuple[str, ...]:
    """The stack in aufs's words, topmost first."""
    return (f"{upper}={writable}", *[f"{lower}=ro+wh" for lower in lowers])


def pages(stack: tuple[str, ...], limit: int = OPTION_LIMIT) -> list[str]:
    """Option strings of at most ``limit`` bytes: the first for the mount, each other for a remount that appends.

    ``dirperm1``: only a directory's topmost entry says who may enter it, as it should be in an image; without it, a
    0700 somewhere below would shut a directory that a later layer has opened.
    """
    found = [f"dirperm1,br:{stack[0]}"]
    beginning, glue = "", ":"
    for branch in stack[1:]:
        if len(f"{found[-1]}{glue}{beginning}{branch}".encode()) <= limit:
            found[-1] += f"{glue}{beginning}{branch}"
        else:
            beginning, glue = "append:", ","
            found.append(f"append:{branch}")
    return found


def check_path(path: str) -> None:
    """KernelError for a path with a character that parts the branches, or the options; aufs has no way to escape it."""
    for character, name in _SEPARATORS.items():
        if character in path:
            raise KernelError(f"aufs takes no path with {name} in it: {path}", "keep labkit's data elsewhere")


def check_filesystem(path: str) -> int:
    """The file system's number (kernel/mounts.py). KernelError where aufs cannot stand on it ("already stacked")."""
    magic = mounts.filesystem_magic(path)
    name = {mounts.OVERLAYFS_MAGIC: "overlay", mounts.AUFS_MAGIC: "aufs"}.get(magic)
    if name:
        raise KernelError(
            f"aufs cannot stand on {name}, another union, and {path} lies on one",
            "keep labkit's data (/var/lib/labkit) on a file system of its own, as ext4, xfs or tmpfs",
        )
    return magic


def mounted_branches(target: str, sysfs: str = "/sys/fs/aufs", table: str = "/proc/self/mountinfo") -> list[str]:
    """``PATH=ATTRIBUTES`` of each branch of the aufs on ``target``, topmost first, as the kernel has them.

    /proc/mounts shows a number alone (``si=…``), which names a directory of sysfs. Empty where there is none.
    """
    numbers = [word[3:] for word in mounts.super_options(target, table).split(",") if word.startswith("si=")]
    directory = f"{sysfs}/si_{numbers[0] if numbers else ''}"
    with suppress(FileNotFoundError):
        names = [name for name in os.listdir(directory) if name[:2] == "br" and name[2:].isdigit()]  # not brid0 …
        return [_line(f"{directory}/{name}") for name in sorted(names, key=lambda name: int(name[2:]))]
    return []


def _line(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readline().rstrip("\n")


@dataclass(frozen=True)
class MountAufs(Operation):
    """The mount, and a remount for each further page of branches. ``branches`` are as ``branches()`` makes them."""

    target: str
    branches: tuple[str, ...]

    def describe(self) -> str:
        """As mount(8): ``-i`` calls no mount.aufs. From util-linux 2.39 on it would use fsconfig(2), which takes 255
        bytes for a value and does not know ``br:``, hence the variable.
        """
        command = "LIBMOUNT_FORCE_MOUNT2=always mount -i -t aufs -o"
        first, *more = pages(self.branches)
        lines = [f"{command} {quote(first)} none {quote(self.target)}"]
        lines += [f"{command} remount,{quote(page)} none {quote(self.target)}" for page in more]
        return "\n".join(lines)

    def describe_undo(self) -> str:
        """As umount(8)."""
        return f"umount -i --lazy {quote(self.target)}"

    def do(self) -> None:
        """mount(2), all of it or nothing. The KernelError has the reason from the kernel's log: errno says EINVAL."""
        writable = self.branches[0].partition("=")[0]
        before = control_files(writable)
        with kmsg.watch() as messages:
            try:
                self._mount()
            except KernelError as error:
                with suppress(LabkitError):  # the first error is the one to read
                    self.undo()
                remove_control_files(writable, control_files(writable) - before)
                words = reason(messages(), os.getpid())
                raise KernelError(
                    f"aufs cannot be mounted on {self.target}: {words or os.strerror(error.errno)}",
                    "" if words else "the kernel's log may say why (dmesg)",
                    error.errno,
                ) from None

    def _mount(self) -> None:
        first, *more = pages(self.branches)
        mounts.mount("none", self.target, "aufs", 0, first)
        for page in more:
            mounts.mount("none", self.target, "aufs", mounts.MS_REMOUNT, page)
        # A remount leaves out a branch that is there already, and says nothing.
        found = mounted_branches(self.target)
        if found and len(found) != len(self.branches):
            raise KernelError(f"aufs has {len(found)} branches instead of {len(self.branches)}", errno=errno.EINVAL)

    def undo(self) -> None:
        """Unmount, also where it is in use (umount2(2), MNT_DETACH)."""
        mounts.detach_if_mounted(self.target)


def reason(messages: list[str], pid: int) -> str:
    """Why aufs refused, from the log: ``aufs FUNCTION:LINE:PROGRAM[PID]: WORDS``. Empty where it said nothing.

    Our own process's message is taken before another's; the number differs in a pid namespace.
    """
    said = [message for message in messages if message.startswith("aufs")]
    ours = [message for message in said if f"[{pid}]: " in message] or said
    return ours[-1].partition(": ")[2] if ours else ""


def control_files(directory: str) -> set[str]:
    """Which of aufs's own names are in a branch."""
    return {name for name in CONTROL_NAMES if os.path.lexists(os.path.join(directory, name))}


def remove_control_files(directory: str, names: set[str]) -> None:
    """A mount that failed leaves them behind. What is not empty is somebody's hard links, and stays."""
    for name in names:
        path = os.path.join(directory, name)
        with suppress(OSError):
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)


def whiteout(path: str) -> None:
    """Hide a name of the layers below: an empty file with ``.wh.`` before the name."""
    directory, name = os.path.split(path)
    _touch(os.path.join(directory, f"{WHITEOUT}{name}"))


def make_opaque(directory: str) -> None:
    """Hide all that the layers below have in this directory."""
    _touch(os.path.join(directory, OPAQUE))


def _touch(path: str) -> None:
    """aufs itself makes hard links of one file for this, of mode 0444; any empty regular file has the same effect."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o444))
