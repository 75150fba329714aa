"""From a specification to a plan: two lists of operations, one for the host, one for the container's first process.

It reads what is mounted, and whether the kernel has what is to be masked; it changes nothing. So the plan can be
printed (--dry-run) and compared as text (tests). What happens inside the root file system is in the room root.
"""

from __future__ import annotations

from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.kernel.mounts import mount_points, stacked_on
from labkit.runtime.oci import ownsettings
from labkit.runtime.oci.ownsettings import SetHostname, SetLoopbackUp
from labkit.runtime.oci.root import mountplan
from labkit.runtime.oci.root.mounting import RemountInside
from labkit.runtime.oci.root.newroot import (
    BindRoot,
    BindRootOutside,
    ChangeRoot,
    DetachOldRoot,
    MoveRoot,
    PivotRoot,
    revealing_mounts,
)
from labkit.runtime.oci.root.rootfs import MakeDirectoryInside
from labkit.runtime.oci.spec import Spec
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import SetPropagation
from labkit.runtime.std.dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """``host`` is done before the process is cloned, the rest by that process in its new namespaces."""

    host: list[Operation]
    filling: list[Operation]
    """What makes the root file system. Then come the hooks of the runtime's caller and the terminal: both may still
    write to all of it."""
    closing: list[Operation]
    """What takes away: read-only mounts, masks, the old root."""

    @property
    def init(self) -> list[Operation]:
        """All of the first process's, in order."""
        return [*self.filling, *self.closing]


def make(spec: Spec, hierarchies: Hierarchies, no_pivot: bool = False) -> Plan:
    """The whole plan. ``no_pivot`` is for a host whose root is its initramfs, which pivot_root(2) cannot move."""
    host = group.plan(spec.cgroups_path, spec.resources, hierarchies) if spec.cgroups_path else []
    if "mnt" not in spec.namespaces:
        # Its mounts are the host's, too; they all lie below this one, whose undo takes them away with it.
        host = [*host, BindRootOutside(spec.rootfs, stacked_on(spec.rootfs))]
    filling, closing = _inside(spec, hierarchies, no_pivot)
    return Plan(host, filling, closing)


def inside(spec: Spec, hierarchies: Hierarchies) -> list[Operation]:
    """The part of the container's first process."""
    filling, closing = _inside(spec, hierarchies, no_pivot=False)
    return [*filling, *closing]


def _inside(spec: Spec, hierarchies: Hierarchies, no_pivot: bool) -> tuple[list[Operation], list[Operation]]:
    made, late = mountplan.mounting(spec, hierarchies)
    filling = [*made, *mountplan.nodes(spec)]
    if "mnt" in spec.namespaces:
        filling = [*_taking_apart(spec), BindRoot(spec.rootfs), *filling]
    if spec.namespaces.get("net") == "":
        filling.append(SetLoopbackUp())
    closing = [MakeDirectoryInside(spec.rootfs, spec.process.cwd), *mountplan.hiding(spec), *late]
    if spec.readonly_root:
        closing.append(RemountInside(spec.rootfs, "/", ("ro",)))
    # After the hooks: a parameter may be of a network device that one of them has brought.
    closing += [*ownsettings.plan(spec), *([SetHostname(spec.hostname)] if spec.hostname else [])]
    if "mnt" not in spec.namespaces:
        return filling, [*closing, ChangeRoot(spec.rootfs)]
    closing += (
        [MoveRoot(spec.rootfs, revealing_mounts(spec.rootfs))]
        if no_pivot
        else [PivotRoot(spec.rootfs), DetachOldRoot()]
    )
    if spec.rootfs_propagation:
        closing.append(SetPropagation("/", spec.rootfs_propagation))
    return filling, closing


def _taking_apart(spec: Spec) -> list[Operation]:
    """A fresh mount namespace is a copy whose mounts still belong to the host's peer groups (mount_namespaces(7)).

    As slaves they hear of the host's mounts and tell nothing. Only who asks for a shared root leaves them as they are;
    then the mount that the new root lies on must be private, or pivot_root(2) refuses it.
    """
    asked = spec.rootfs_propagation
    if asked in ("shared", "rshared"):
        points = [point for point, _ in mount_points() if f"{spec.rootfs}/".startswith(f"{point.rstrip('/')}/")]
        return [SetPropagation(max(points, key=len), "private")]
    return [SetPropagation("/", "rprivate" if asked.endswith(("private", "unbindable")) else "rslave")]
