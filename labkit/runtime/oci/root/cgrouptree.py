"""The unified cgroup tree of a container that may not mount it: one of a user namespace, or one that has it already.

The kernel wants CAP_SYS_ADMIN in the user namespace that owns the cgroup namespace (EPERM), and refuses a file system
on the root of a mount of the same one (EBUSY, mount(2)): so it is after /sys was bound with all that lies on it, as
`spec --rootless` does. Then a part of the host's tree is bound, as runc does.
"""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.cgroups import group, placement
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.oci.root.mounting import BindInside, MountInside
from labkit.runtime.oci.root.rootfs import Inside, Mask
from labkit.runtime.oci.spec import MountPoint, Spec
from labkit.runtime.std.dataclasses import dataclass


@dataclass(frozen=True)
class MountTreeOrBind(MountInside):
    """The tree, or else ``instead``, a directory of the host's; where that is empty, nothing is shown there."""

    instead: str = ""

    def describe(self) -> str:
        """The first command that works."""
        return f"{{ {super().describe()}; }} || {{ {self._second().describe()}; }}"

    def do(self) -> None:
        """mount(2), twice if need be."""
        try:
            super().do()
        except KernelError as error:
            if error.errno not in (errno.EPERM, errno.EBUSY):
                raise
            self._second().do()

    def _second(self) -> Inside:
        if self.instead:
            return BindInside(self.rootfs, self.path, self.instead, ("bind", *self.options))
        return Mask(self.rootfs, self.path)


def mounting(spec: Spec, mount: MountPoint, hierarchies: Hierarchies) -> Inside:
    """The mount of v2's tree. In a cgroup namespace it shows the container's group, or ours, where it has none of its
    own; without one it shows the host's tree.
    """
    shown = hierarchies.v2
    if "cgroup" in spec.namespaces:
        [shown] = group.directories(spec.cgroups_path, hierarchies) if spec.cgroups_path else [_ours(hierarchies)]
    options = tuple(mount.options)
    return MountTreeOrBind(spec.rootfs, mount.destination, mount.source or "cgroup", "cgroup2", options, shown)


def _ours(hierarchies: Hierarchies) -> str:
    """The directory of our own group, or nothing where it lies outside what is mounted (cgroup_namespaces(7))."""
    own = placement.ours()
    place = os.path.normpath(f"{hierarchies.v2}/{own}")
    return place if ".." not in own.split("/") and os.path.isdir(place) else ""
