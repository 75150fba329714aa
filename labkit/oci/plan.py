"""From a specification to a plan: two lists of operations, one for the host, one for the container's first process.

It reads the root file system (for links and for what is there to be masked) and the cgroup mounts; it changes
nothing. So the plan can be printed (--dry-run) and compared as text (tests).
"""

from __future__ import annotations

import os

from labkit.cgroups import group
from labkit.cgroups.detect import Hierarchies
from labkit.kernel.inroot import resolve
from labkit.oci import defaults
from labkit.oci.operations import DetachOldRoot, MakeFile, PivotRoot, SetHostname
from labkit.oci.spec import MountPoint, Spec
from labkit.operations import Operation
from labkit.operations.files import Link, MakeDevice, MakeDirectory
from labkit.operations.mounting import BindMount, Mount, Remount, SetPropagation
from labkit.value import Value


class Plan(Value):
    """``host`` is done before the process is cloned, ``init`` by that process in its new namespaces."""

    host: list[Operation]
    init: list[Operation]


def make(spec: Spec, hierarchies: Hierarchies) -> Plan:
    """The whole plan."""
    host = group.plan(spec.cgroups_path, spec.resources, hierarchies) if spec.cgroups_path else []
    init: list[Operation] = []
    if "mnt" in spec.namespaces:
        # Private first: a fresh mount namespace is a copy whose mounts still belong to the host's peer groups.
        init += [SetPropagation("/"), BindMount(spec.rootfs, spec.rootfs)]
        for mount in spec.mounts:
            init += _mount(spec, mount, hierarchies)
            if mount.destination == "/dev" and mount.kind == "tmpfs":
                init += _devices(resolve(spec.rootfs, mount.destination))
        init += _hide(spec)
        init.append(MakeDirectory(resolve(spec.rootfs, spec.process.cwd)))
    if spec.hostname and "uts" in spec.namespaces:
        init.append(SetHostname(spec.hostname))
    if "mnt" in spec.namespaces:
        if spec.readonly_root:
            init.append(Remount(spec.rootfs, ("ro",)))
        init += [PivotRoot(spec.rootfs), DetachOldRoot()]
    return Plan(host, init)


def _mount(spec: Spec, mount: MountPoint, hierarchies: Hierarchies) -> list[Operation]:
    target = resolve(spec.rootfs, mount.destination)
    if mount.kind == "cgroup":
        return _cgroup_mounts(target, mount, hierarchies)
    if "bind" in mount.options or "rbind" in mount.options:
        rest = tuple(option for option in mount.options if option not in ("bind", "rbind", "rprivate", "private"))
        make_target = MakeDirectory(target) if os.path.isdir(mount.source) else MakeFile(target)
        return [make_target, BindMount(mount.source, target, "rbind" in mount.options, rest)]
    return [MakeDirectory(target), Mount(mount.source, target, mount.kind, tuple(mount.options))]


def _cgroup_mounts(target: str, mount: MountPoint, hierarchies: Hierarchies) -> list[Operation]:
    """v2: the one tree. v1: a tmpfs with every hierarchy in a directory of its own, as systemd lays them out.

    In a cgroup namespace the root of each mount is the container's own group (cgroup_namespaces(7)).
    """
    options = tuple(mount.options)
    if not hierarchies.v1:
        return [MakeDirectory(target), Mount("cgroup", target, "cgroup2", options)]
    made: list[Operation] = [
        MakeDirectory(target),
        Mount("tmpfs", target, "tmpfs", ("nosuid", "nodev", "noexec", "mode=755")),
    ]
    seen: set[str] = set()
    for point in hierarchies.v1.values():
        if point in seen:
            continue
        seen.add(point)
        words = ",".join(name for name, place in hierarchies.v1.items() if place == point)
        place = os.path.join(target, os.path.basename(point))
        made += [MakeDirectory(place), Mount("cgroup", place, "cgroup", (*options, *words.split(",")))]
    return [*made, Remount(target, ("ro", "nosuid", "nodev", "noexec"))]


def _devices(directory: str) -> list[Operation]:
    """Device nodes and links in the file system that was mounted on /dev, wherever an image's links have led it."""

    def place(path: str) -> str:
        return os.path.join(directory, os.path.basename(path))

    made: list[Operation] = [MakeDevice(place(path), major, minor) for path, major, minor in defaults.DEVICES]
    return made + [Link(target, place(path)) for target, path in defaults.LINKS]


def _hide(spec: Spec) -> list[Operation]:
    """Masked paths are covered (a file by /dev/null, a directory by an empty read-only tmpfs); others become read-only.

    What to cover is read from the host's own /proc and /sys: the container's are not mounted yet, and are the same
    kernel's.
    """
    made: list[Operation] = []
    mounted = tuple(mount.destination for mount in spec.mounts if mount.kind in ("proc", "sysfs"))
    for path in spec.masked_paths:
        if path.startswith(mounted) and os.path.exists(path):
            target = resolve(spec.rootfs, path)
            if os.path.isdir(path):
                made.append(Mount("tmpfs", target, "tmpfs", ("ro", "size=0k")))
            else:
                made.append(BindMount(resolve(spec.rootfs, "/dev/null"), target, recursive=False))
    for path in spec.readonly_paths:
        if path.startswith(mounted) and os.path.exists(path):
            target = resolve(spec.rootfs, path)
            made.append(BindMount(target, target, options=("ro", "nosuid", "nodev", "noexec")))
    return made
