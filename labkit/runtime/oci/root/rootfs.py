"""Operations of the container's first process on what lies inside its root file system, before it moves into it.

Each names a path as the container does. ``do`` looks it up by descriptors that cannot be led outside (rootdir.py), and
changes what it has open; ``describe`` writes it for a shell, with the links in the path read as they are now.
"""

from __future__ import annotations

import errno
import os
import stat

from labkit.errors import KernelError
from labkit.runtime.kernel import mounts, rootdir
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.kernel.rootdir import resolve
from labkit.runtime.operations import GoesAlong
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote


@dataclass(frozen=True)
class Inside(GoesAlong):
    """An operation on ``path`` in the root file system ``rootfs`` (a real path of the host)."""

    rootfs: str
    path: str

    def shown(self) -> str:
        """The path outside, quoted for a shell."""
        return quote(resolve(self.rootfs, self.path))


class MakeDirectoryInside(Inside):
    """A directory with its parents, mode 0755; one that is there stays as it is."""

    def describe(self) -> str:
        """As mkdir(1)."""
        return f"mkdir -p {self.shown()}"

    def do(self) -> None:
        """Make what is missing."""
        os.close(rootdir.directory(self.rootfs, self.path))


@dataclass(frozen=True)
class LinkInside(Inside):
    """A symbolic link. An existing name stays as it is, since an image may bring its own, unless it is ``forced``."""

    target: str
    forced: bool = False

    def describe(self) -> str:
        """As ln(1)."""
        parent, name = os.path.split(self.path)
        place = os.path.join(resolve(self.rootfs, parent), name)
        return f"ln -s{'fn' if self.forced else ''} {quote(self.target)} {quote(place)}"

    def do(self) -> None:
        """symlink(2)."""
        with opened_place(self.rootfs, self.path) as (parent, name), kernel_error(f"symlink({self.path})"):
            if self.forced:
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=parent)
            with suppress(FileExistsError):
                os.symlink(self.target, name, dir_fd=parent)


class Mask(Inside):
    """Cover what is there: a directory by an empty read-only tmpfs, anything else by /dev/null."""

    def describe(self) -> str:
        """As mount(8). What is there is asked of the host's own /proc and /sys, since they are the same kernel's."""
        target = self.shown()
        look = self.path if self.path.startswith(("/proc/", "/sys/")) else resolve(self.rootfs, self.path)
        directory, file = f"mount -t tmpfs -o ro,size=0k tmpfs {target}", f"mount -o bind /dev/null {target}"
        if os.path.isdir(look):
            return directory
        if os.path.exists(look):
            return file
        return f"if [ -d {target} ]; then {directory}; elif [ -e {target} ]; then {file}; fi"

    def do(self) -> None:
        """mount(2); nothing where there is nothing to cover."""
        with found(self.rootfs, self.path) as target:
            if target is None:
                return
            if stat.S_ISDIR(os.fstat(target).st_mode):
                mounts.mount("tmpfs", by_number(target), "tmpfs", mounts.MS_RDONLY, "size=0k", shown=self.path)
                return
            # The host's own: an image may have put anything under that name.
            mounts.mount("/dev/null", by_number(target), flags=mounts.MS_BIND, shown=self.path)


@dataclass(frozen=True)
class MakeReadOnly(Inside):
    """What is there can be read only, with all that is below the same mount point."""

    options: tuple[str, ...] = ()
    """The words for nosuid, nodev and noexec of the mount that it lies on, for ``describe``."""

    def describe(self) -> str:
        """As mount(8)."""
        return f"mount -o {','.join(('rbind', 'ro', *self.options))} {self.shown()} {self.shown()}"

    def do(self) -> None:
        """Bind it on itself, then remount that; nothing where there is nothing."""
        with found(self.rootfs, self.path) as target:
            if target is None:
                return
            place = by_number(target)
            mounts.mount(place, place, flags=mounts.MS_BIND | mounts.MS_REC, shown=self.path)
            with reopened(self.rootfs, self.path, target) as top:
                kept = os.statvfs(top).f_flag & (mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC)
                mounts.remount(by_number(top), mounts.MS_RDONLY | kept, shown=self.path)


def by_number(descriptor: int) -> str:
    """A path that means what is open, wherever it has been moved to meanwhile."""
    return f"/proc/self/fd/{descriptor}"


@contextmanager
def opened_place(rootfs: str, path: str) -> Iterator[tuple[int, str]]:
    """The directory of an entry, made where it is missing, and the entry's name."""
    parent, name = rootdir.place(rootfs, path)
    with kept_open(parent):
        yield parent, name


@contextmanager
def found(rootfs: str, path: str) -> Iterator[int | None]:
    """What is there, or None."""
    try:
        descriptor = rootdir.find(rootfs, path)
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        yield None
        return
    with kept_open(descriptor):
        yield descriptor


@contextmanager
def reopened(rootfs: str, path: str, below: int) -> Iterator[int]:
    """What was mounted on ``below`` just now. KernelError if the path leads elsewhere by this time, or nowhere."""
    with found(rootfs, path) as top:
        if top is None or os.readlink(by_number(top)) != os.readlink(by_number(below)):
            raise KernelError(f"{path} was changed while it was being mounted", "who else writes there?", errno.ESTALE)
        yield top
