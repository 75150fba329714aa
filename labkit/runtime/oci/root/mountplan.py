"""From the specification's mounts, devices and paths to operations inside the root file system."""

from __future__ import annotations

import os
from posixpath import normpath

from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.kernel import process
from labkit.runtime.kernel.mountoptions import PROPAGATION
from labkit.runtime.oci import defaults
from labkit.runtime.oci.root.devicenode import MakeDeviceInside
from labkit.runtime.oci.root.mounting import BindInside, MountInside, RemountInside
from labkit.runtime.oci.root.rootfs import LinkInside, MakeReadOnly, Mask
from labkit.runtime.oci.spec import MountPoint, Spec
from labkit.runtime.oci.spec.device import Device
from labkit.runtime.operations import Operation

_QUIET = ("nosuid", "noexec", "nodev")
_READ_ONLY = {"ro", "rro"}


def mounting(spec: Spec, hierarchies: Hierarchies) -> tuple[list[Operation], list[Operation]]:
    """Every mount in its order; and what makes those read-only at the end in which something must still be made."""
    made: list[Operation] = []
    late: list[Operation] = []
    for mount in spec.mounts:
        options = tuple(mount.options)
        if mount.kind == "cgroup":
            made += _cgroup(spec, mount, hierarchies)
        elif mount.users:
            made.append(_mapped(spec, mount))
        elif mount.kind == "bind":
            made.append(BindInside(spec.rootfs, mount.destination, mount.source, options))
        elif mount.kind == "remount":
            made.append(RemountInside(spec.rootfs, mount.destination, options))
        elif _READ_ONLY & {*options} and (mount.kind == "tmpfs" or normpath(mount.destination) == "/dev"):
            writable = tuple(option for option in options if option not in _READ_ONLY)
            made.append(MountInside(spec.rootfs, mount.destination, mount.source, mount.kind, writable))
            flags = tuple(option for option in options if "=" not in option and option != "tmpcopyup")
            late.append(RemountInside(spec.rootfs, mount.destination, flags))
        else:
            made.append(MountInside(spec.rootfs, mount.destination, mount.source, mount.kind, options))
    return made, late


def _mapped(spec: Spec, mount: MountPoint) -> Operation:
    from labkit.runtime.oci.root.mappedmount import BindMapped  # local: few ask for it

    users, groups = (
        tuple((item.inside, item.outside, item.size) for item in ranges) for ranges in (mount.users, mount.groups)
    )
    return BindMapped(spec.rootfs, mount.destination, mount.source, tuple(mount.options), users=users, groups=groups)


def _cgroup(spec: Spec, mount: MountPoint, hierarchies: Hierarchies) -> list[Operation]:
    """v2: the one tree. v1: a tmpfs with every hierarchy in a directory of its own, as systemd lays them out.

    In a cgroup namespace the root of each mount is the container's own group (cgroup_namespaces(7)). Without one the
    container sees the host's tree on v2, as /proc/self/cgroup names its place there, and on v1 its own groups, bound:
    so runc does.
    """
    rootfs, destination, options = spec.rootfs, mount.destination, tuple(mount.options)
    if not hierarchies.v1:
        if not _may_be_refused(spec, mount):
            return [MountInside(rootfs, destination, mount.source or "cgroup", "cgroup2", options)]
        from labkit.runtime.oci.root import cgrouptree  # local: root's containers, which are most, do not need it

        return [cgrouptree.mounting(spec, mount, hierarchies)]
    flags = (*_QUIET, *(word for word in options if word in ("ro", "relatime")))
    propagation = [word for word in options if word in PROPAGATION]
    tmpfs = MountInside(rootfs, destination, "tmpfs", "tmpfs", (*_QUIET, "mode=755", *propagation))
    made: list[Operation] = [tmpfs]
    own = group.directories(spec.cgroups_path or "/", hierarchies)
    for point in dict.fromkeys([*hierarchies.v1.values(), *([hierarchies.v2] if hierarchies.v2 else [])]):
        place = f"{destination}/{os.path.basename(point)}"
        names = [name for name, other in hierarchies.v1.items() if other == point]
        if "cgroup" in spec.namespaces and names:
            made.append(MountInside(rootfs, place, "cgroup", "cgroup", (*flags, *names)))
        elif "cgroup" in spec.namespaces:
            made.append(MountInside(rootfs, place, "cgroup2", "cgroup2", flags))
        else:
            source = next((directory for directory in own if directory.startswith(f"{point}/")), point)
            made.append(BindInside(rootfs, place, source, ("bind", *flags)))
        made += [
            LinkInside(rootfs, f"{destination}/{name}", os.path.basename(point))
            for name in names
            if len(names) > 1 and name != os.path.basename(point)
        ]
    if "ro" in options:
        made.append(RemountInside(rootfs, destination, (*_QUIET, "ro")))
    return made


def _may_be_refused(spec: Spec, mount: MountPoint) -> bool:
    """Whether the kernel may not let us mount the unified tree: for want of rights, or where it is mounted already."""
    below = [other for other in spec.mounts if f"{mount.destination}/".startswith(f"{other.destination.rstrip('/')}/")]
    return "user" in spec.namespaces or any(other.kind == "bind" for other in below) or not process.is_root()


def nodes(spec: Spec) -> list[Operation]:
    """Device nodes and links. A /dev of the host's, bound, has its own (config-linux.md, "Default Devices")."""
    if any(mount.kind == "bind" and normpath(mount.destination) == "/dev" for mount in spec.mounts):
        return []
    given = {normpath(device.path) for device in spec.devices}
    made: list[Operation] = [
        MakeDeviceInside(spec.rootfs, path, "c", major, minor)
        for path, major, minor in defaults.DEVICES
        if path not in given
    ]
    made += [
        _given(spec, device)
        for device in spec.devices
        if normpath(device.path) != "/dev/ptmx"  # that is the one of the container's own devpts
    ]
    made += [LinkInside(spec.rootfs, path, target, path == "/dev/ptmx") for target, path in defaults.LINKS]
    return made


def _given(spec: Spec, device: Device) -> Operation:
    if device.source:
        return BindInside(spec.rootfs, device.path, device.source)
    owner = (device.mode, device.uid, device.gid)
    return MakeDeviceInside(spec.rootfs, device.path, device.kind, device.major, device.minor, *owner)


def hiding(spec: Spec) -> list[Operation]:
    """Masked paths are covered, others become read-only.

    What the host's /proc and /sys lack the container's will, too: they are the same kernel's.
    """

    def may_be_there(path: str) -> bool:
        return not path.startswith(("/proc/", "/sys/")) or os.path.exists(path)

    made: list[Operation] = [
        MakeReadOnly(spec.rootfs, path, _flags_of_the_mount_below(spec, path))
        for path in spec.readonly_paths
        if may_be_there(path)
    ]
    return made + [Mask(spec.rootfs, path) for path in spec.masked_paths if may_be_there(path)]


def _flags_of_the_mount_below(spec: Spec, path: str) -> tuple[str, ...]:
    """Those that a bind mount must repeat to keep them, of the last mount that ``path`` lies on."""
    below = [mount for mount in spec.mounts if f"{path}/".startswith(f"{normpath(mount.destination).rstrip('/')}/")]
    return tuple(word for word in _QUIET if below and word in below[-1].options)
