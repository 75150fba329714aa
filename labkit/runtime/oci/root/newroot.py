"""The way of the container's first process into its root file system, and out of the host's."""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError, NotFoundError
from labkit.runtime.kernel import mounts
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.operations import GoesAlong
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote


@dataclass(frozen=True)
class BindRoot(GoesAlong):
    """The root file system on itself: pivot_root(2) takes a mount point only."""

    rootfs: str

    def describe(self) -> str:
        """As mount(8)."""
        return f"mount -o rbind {quote(self.rootfs)} {quote(self.rootfs)}"

    def do(self) -> None:
        """mount(2). NotFoundError where there is no such directory, or root of a user namespace cannot reach it."""
        try:
            os.close(os.open(self.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise NotFoundError(
                f"the root file system {self.rootfs}: {error.strerror}",
                "see root.path in config.json: it must be a directory that the container's root can reach",
            ) from None
        mounts.mount(self.rootfs, self.rootfs, flags=mounts.MS_BIND | mounts.MS_REC)


@dataclass(frozen=True)
class BindRootOutside(BindRoot):
    """The same in the host's own mount namespace: all that is mounted in it goes with it.

    ``below`` is how many mounts lie on it already, an overlay perhaps, which are not ours to take away.
    """

    below: int

    def describe(self) -> str:
        """As mount(8)."""
        return f"{super().describe()} && mount --make-rprivate {quote(self.rootfs)}"

    def describe_undo(self) -> str:
        """As umount(8)."""
        return f"umount --lazy {quote(self.rootfs)}"

    def do(self) -> None:
        """mount(2); private, so that what follows stays in this namespace."""
        super().do()
        mounts.mount("", self.rootfs, flags=mounts.MS_PRIVATE | mounts.MS_REC)

    def undo(self) -> None:
        """umount2(2), MNT_DETACH, with everything below."""
        for _ in range(mounts.stacked_on(self.rootfs) - self.below):
            mounts.umount(self.rootfs, mounts.MNT_DETACH)


@dataclass(frozen=True)
class PivotRoot(GoesAlong):
    """The new root and the old one change places, both on ``.``: the old root then lies on top of the new one.

    pivot_root(2), "pivot_root(".", ".")", describes this way without a directory for the old root.
    """

    rootfs: str

    def describe(self) -> str:
        """As pivot_root(8)."""
        return f"cd {quote(self.rootfs)} && pivot_root . ."

    def do(self) -> None:
        """pivot_root(2); then stand in the old root, which no path leads to."""
        with kept_open(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as old:
            os.chdir(self.rootfs)
            mounts.pivot_root(".", ".")
            os.fchdir(old)


class DetachOldRoot(GoesAlong):
    """The old root, which lies on top of the new one, goes: no mount of the host is left in the container's table."""

    def describe(self) -> str:
        """As umount(8)."""
        return "umount --lazy --no-canonicalize ."

    def do(self) -> None:
        """umount2(2), MNT_DETACH; slaves first, so that nothing is unmounted outside."""
        mounts.mount("", ".", flags=mounts.MS_SLAVE | mounts.MS_REC)
        mounts.umount(".", mounts.MNT_DETACH)
        os.chdir("/")


@dataclass(frozen=True)
class MoveRoot(GoesAlong):
    """The other way, where pivot_root(2) is impossible (a host whose root is its initramfs): the new root is moved
    over the old one, and chroot(2).

    The old root stays mounted below, so every proc and sysfs of the host goes first: who finds a whole one in the
    mount namespace may mount another that has nothing masked (mount_namespaces(7); runc's msMoveRoot).
    """

    rootfs: str
    revealing: tuple[str, ...]
    """Mount points of those, when the plan was made."""

    def describe(self) -> str:
        """As umount(8), mount(8) and chroot(1)."""
        away = "".join(f"umount --lazy {quote(point)} && " for point in self.revealing)
        return f"{away}cd {quote(self.rootfs)} && mount --move {quote(self.rootfs)} / && exec chroot ."

    def do(self) -> None:
        """umount2(2), mount(2) with MS_MOVE, chroot(2)."""
        os.chdir(self.rootfs)
        for point in revealing_mounts(self.rootfs):
            mounts.mount("", point, flags=mounts.MS_PRIVATE | mounts.MS_REC)
            try:
                mounts.umount(point, mounts.MNT_DETACH)
            except KernelError as error:
                if error.errno not in (errno.EINVAL, errno.EPERM):
                    raise
                mounts.mount("tmpfs", point, "tmpfs")  # locked, in a user namespace: covered
        mounts.mount(self.rootfs, "/", flags=mounts.MS_MOVE)
        os.chroot(".")
        os.chdir("/")


def revealing_mounts(rootfs: str) -> tuple[str, ...]:
    """Where proc and sysfs file systems lie outside the root file system, the last first."""
    below = rootfs.rstrip("/") + "/"
    points = [point for point, kind in mounts.mount_points() if kind in ("proc", "sysfs")]
    return tuple(point for point in reversed(points) if not (point + "/").startswith(below))


@dataclass(frozen=True)
class ChangeRoot(GoesAlong):
    """The root of this process alone, for a container that shares the mount namespace of its runtime (chroot(2))."""

    rootfs: str

    def describe(self) -> str:
        """As chroot(1)."""
        return f"exec chroot {quote(self.rootfs)}"

    def do(self) -> None:
        """chroot(2)."""
        os.chroot(self.rootfs)
        os.chdir("/")
