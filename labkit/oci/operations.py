"""Operations of the container's first process that only the low-level runtime needs."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from shlex import quote

from labkit.errors import KernelError
from labkit.kernel import mounts
from labkit.operations import Operation


class MakeFile(Operation):
    """An empty file to mount another one on."""

    path: str

    def describe(self) -> str:
        """As touch(1)."""
        return f"mkdir -p {quote(os.path.dirname(self.path))} && touch {quote(self.path)}"

    def do(self) -> None:
        """Make it where it is missing."""
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            if not os.path.exists(self.path):  # a device, for instance, is as good to mount on
                Path(self.path).touch()
        except OSError as error:
            raise KernelError(f"touch({self.path}): {error.strerror}", errno=error.errno or 0) from error

    def undo(self) -> None:
        """Nothing: it lies in the container's writable layer."""


class SetHostname(Operation):
    """The host name of this UTS namespace (sethostname(2))."""

    name: str

    def describe(self) -> str:
        """The shell's way without hostname(1)."""
        return f"echo {quote(self.name)} > /proc/sys/kernel/hostname"

    def do(self) -> None:
        """sethostname(2)."""
        socket.sethostname(self.name)

    def undo(self) -> None:
        """Nothing: it goes with the namespace."""


class PivotRoot(Operation):
    """The new root and the old one change places, both on ``.``: the old root then lies on top of the new one.

    pivot_root(2), "pivot_root(".", ".")", describes this way without a directory for the old root.
    """

    rootfs: str

    def describe(self) -> str:
        """As pivot_root(8)."""
        return f"cd {quote(self.rootfs)} && pivot_root . ."

    def do(self) -> None:
        """pivot_root(2)."""
        os.chdir(self.rootfs)
        mounts.pivot_root(".", ".")

    def undo(self) -> None:
        """Nothing: it goes with the mount namespace."""


class DetachOldRoot(Operation):
    """The old root, which lies on top of the new one, goes: no mount of the host is left in the container's table."""

    def describe(self) -> str:
        """As umount(8)."""
        return "umount --lazy --no-canonicalize ."

    def do(self) -> None:
        """umount2(2), MNT_DETACH; private first, so that nothing is unmounted outside."""
        mounts.mount("", ".", flags=mounts.MS_PRIVATE | mounts.MS_REC)
        mounts.umount(".", mounts.MNT_DETACH)
        os.chdir("/")

    def undo(self) -> None:
        """Nothing: it goes with the mount namespace."""
