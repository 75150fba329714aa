"""Device nodes for a container in a user namespace, made outside.

mknod(2) of a device wants CAP_MKNOD in the first user namespace, and a node on a file system that was mounted in
another one opens nothing (the kernel's SB_I_NODEV, user_namespaces(7)). What the host has in its own /dev can be bound
from there. A node that it lacks the runtime makes itself, before the container's first process is there, in a small
tmpfs in the directory of the container's state, and that one is bound. (The directory alone would not do: /run is
mounted nodev, and a bind mount keeps that.)
"""

from __future__ import annotations

import os
import stat

from labkit.errors import ConfigError, KernelError
from labkit.runtime.kernel import mounts, process
from labkit.runtime.oci.root.devicenode import NODE_TYPES, is_device, numbers_of
from labkit.runtime.oci.spec import Spec
from labkit.runtime.oci.spec.device import Device
from labkit.runtime.oci.spec.namespace import IdMapping
from labkit.runtime.operations import GoesAlong, Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.shlex import quote


@dataclass(frozen=True)
class MountForNodes(Operation):
    """A directory with a tmpfs on it, in which nodes can be made and opened."""

    directory: str

    def describe(self) -> str:
        """As mkdir(1) and mount(8)."""
        place = quote(self.directory)
        return f"mkdir -m 0700 {place} && mount -t tmpfs -o nosuid,noexec,mode=0700,size=64k devices {place}"

    def describe_undo(self) -> str:
        """As umount(8) and rmdir(1)."""
        return f"umount --lazy {quote(self.directory)} && rmdir {quote(self.directory)}"

    def do(self) -> None:
        """mkdir(2) and mount(2)."""
        os.mkdir(self.directory, 0o700)
        flags = mounts.MS_NOSUID | mounts.MS_NOEXEC
        mounts.mount("devices", self.directory, "tmpfs", flags, "mode=0700,size=64k")

    def undo(self) -> None:
        """Both back: what a container has bound of it stays until that container is gone."""
        with suppress(FileNotFoundError):
            if os.path.isdir(self.directory):
                mounts.detach_if_mounted(self.directory)
            os.rmdir(self.directory)


@dataclass(frozen=True)
class MakeNodeOutside(GoesAlong):
    """A device node in that directory; its owner in the host's numbers."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int

    def describe(self) -> str:
        """As mknod(1) and chown(1)."""
        place = quote(self.path)
        made = f"mknod -m {self.mode:04o} {place} {self.kind} {self.major} {self.minor}"
        return f"{made} && chown {self.uid}:{self.gid} {place}"

    def do(self) -> None:
        """mknod(2), chown(2), and the mode last, since the umask takes from it before."""
        try:
            os.mknod(self.path, NODE_TYPES[self.kind] | 0o600, os.makedev(self.major, self.minor))
            os.chown(self.path, self.uid, self.gid)
            os.chmod(self.path, self.mode)
        except OSError as error:
            what = f"the device {self.kind} {self.major}:{self.minor} cannot be made: {error.strerror}"
            raise KernelError(what, errno=error.errno or 0) from error


def make(spec: Spec, directory: str) -> tuple[Spec, list[Operation]]:
    """The specification with the places of the nodes that are to be made in ``directory``, and what makes them.

    Where we are not root of the first user namespace, or do not know the numbers of one that the container joins,
    nothing is: then the host's own node it must be (devicenode.py).
    """
    if spec.namespaces.get("user") != "" or os.geteuid() or not process.is_in_first_user_namespace():
        return spec, []
    operations: list[Operation] = []
    devices: list[Device] = []
    for device in spec.devices:
        kind = NODE_TYPES[device.kind]
        if kind == stat.S_IFIFO or is_device(device.path, kind, numbers_of(device)):
            devices.append(device)  # a fifo anybody can make
            continue
        source = f"{directory}/{len(operations)}"
        owner = [
            _outside(number, mappings, device.path)
            for number, mappings in ((device.uid, spec.uid_mappings), (device.gid, spec.gid_mappings))
        ]
        operations.append(MakeNodeOutside(source, device.kind, device.major, device.minor, device.mode, *owner))
        devices.append(replace(device, source=source))
    if not operations:
        return spec, []
    return replace(spec, devices=devices), [MountForNodes(directory), *operations]


def _outside(number: int, mappings: list[IdMapping], path: str) -> int:
    """Which number outside is that one inside."""
    for item in mappings:
        if item.inside <= number < item.inside + item.size:
            return item.outside + number - item.inside
    raise ConfigError(
        f"the device {path} would belong to {number}, whom the user namespace of the container does not know",
        "see uidMappings and gidMappings in config.json",
    )
