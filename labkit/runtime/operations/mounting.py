"""Operations on the mount table."""

from __future__ import annotations

from labkit.runtime.kernel import mountoptions, mounts
from labkit.runtime.operations.base import GoesAlong, Operation
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote


@dataclass(frozen=True)
class Mount(Operation):
    """``mount -t KIND -o OPTIONS SOURCE TARGET``; ``options`` in mount(8)'s words."""

    source: str
    target: str
    kind: str
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        """As mount(8)."""
        options = f" -o {quote(','.join(self.options))}" if self.options else ""
        return f"mount -t {quote(self.kind)}{options} {quote(self.source)} {quote(self.target)}"

    def describe_undo(self) -> str:
        """As umount(8)."""
        return f"umount --lazy {quote(self.target)}"

    def do(self) -> None:
        """mount(2)."""
        options = mountoptions.parse(self.options)
        mounts.mount(self.source, self.target, self.kind, options.flags, options.data)

    def undo(self) -> None:
        """Unmount, also where it is in use (umount2(2), MNT_DETACH)."""
        mounts.detach_if_mounted(self.target)


@dataclass(frozen=True)
class SetPropagation(GoesAlong):
    """``mount --make-rprivate /``: later mounts do not travel between namespaces (mount_namespaces(7))."""

    target: str
    kind: str = "rprivate"

    def describe(self) -> str:
        """As mount(8)."""
        return f"mount --make-{self.kind} {quote(self.target)}"

    def do(self) -> None:
        """mount(2) with a propagation flag alone."""
        mounts.mount("", self.target, flags=mountoptions.PROPAGATION[self.kind])
