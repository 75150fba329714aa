"""config.json: what of the OCI runtime specification (1.2) labkit runs, read and checked.

What the specification has and labkit cannot do is refused by its name: a limit that is silently not set is worse than
an error. What the specification does not know is ignored, as it says itself (config.md, "Extensibility"). Each section
has a module of its own here.
"""

from __future__ import annotations

import os

from labkit.errors import ConfigError
from labkit.runtime.kernel.mountoptions import PROPAGATION
from labkit.runtime.oci.spec import device, hooks, mount, namespace, personality, process, resources, sysctl
from labkit.runtime.oci.spec.device import Device
from labkit.runtime.oci.spec.hooks import Hook
from labkit.runtime.oci.spec.mount import MountPoint
from labkit.runtime.oci.spec.namespace import IdMapping
from labkit.runtime.oci.spec.process import Process
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.typing import TYPE_CHECKING, Any
from labkit.runtime.text.document import Reader

if TYPE_CHECKING:
    from labkit.runtime.oci.spec.seccomp import Profile

__all__ = ["FILE", "Device", "Hook", "MountPoint", "Process", "Spec", "load", "parse"]

#: The document's name in messages (config.md, "Configuration").
FILE = "config.json"


@dataclass(frozen=True)
class Spec:
    """A container as the low-level runtime sees it."""

    process: Process
    rootfs: str
    readonly_root: bool
    hostname: str
    mounts: list[MountPoint]
    namespaces: dict[str, str]
    """The kernel's name of the kind (``mnt``) -> path of one to join, or empty for a new one."""
    cgroups_path: str
    resources: dict[str, Any]
    masked_paths: list[str] = field(default_factory=list)
    readonly_paths: list[str] = field(default_factory=list)
    domainname: str = ""
    uid_mappings: list[IdMapping] = field(default_factory=list)
    gid_mappings: list[IdMapping] = field(default_factory=list)
    time_offsets: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Clock (``monotonic``, ``boottime``) -> seconds and nanoseconds."""
    sysctl: dict[str, str] = field(default_factory=dict)
    """Path below /proc/sys -> value."""
    seccomp: Profile | None = None
    personality: int | None = None
    devices: list[Device] = field(default_factory=list)
    rootfs_propagation: str = ""
    """How mounts travel between the container's root and the host's, in mount(8)'s word."""
    annotations: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, list[Hook]] = field(default_factory=dict)
    """Kind (``createRuntime``) -> its hooks; only kinds that have any."""


def load(bundle: str) -> Spec:
    """Read ``bundle/config.json``. ConfigError says which file and which property."""
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", "a bundle is a directory with a config.json and a root file system"
        ) from None
    return parse(Reader.parse(text, FILE).object, bundle)


def parse(document: Any, bundle: str) -> Spec:
    """The checked form of a specification; relative paths of the root are taken from ``bundle``."""
    top = Reader(document, FILE)
    root = top.child("root")
    linux = top.child("linux")
    kinds = namespace.read_all(linux)
    top.value("ociVersion", str, "1.2.0")
    users, groups = (namespace.read_mappings(linux, name, kinds) for name in ("uidMappings", "gidMappings"))
    spec = Spec(
        process=process.read(top.child("process")),
        rootfs=os.path.realpath(os.path.join(bundle, root.value("path", str))),
        readonly_root=root.value("readonly", bool, False),
        hostname=top.value("hostname", str, ""),
        mounts=[mount.read(item, os.path.abspath(bundle), (users, groups)) for item in top.children("mounts")],
        namespaces=kinds,
        cgroups_path=linux.value("cgroupsPath", str, ""),
        resources=resources.read(linux.child("resources", optional=True)),
        masked_paths=_absolute(linux, "maskedPaths"),
        readonly_paths=_absolute(linux, "readonlyPaths"),
        domainname=top.value("domainname", str, ""),
        uid_mappings=users,
        gid_mappings=groups,
        time_offsets=namespace.read_time_offsets(linux, kinds),
        sysctl=sysctl.read(linux, kinds),
        seccomp=_seccomp(linux),
        personality=personality.read(linux),
        devices=[device.read(item) for item in linux.children("devices")],
        rootfs_propagation=linux.value("rootfsPropagation", str, ""),
        annotations=_annotations(top),
        hooks=hooks.read(top.child("hooks", optional=True)),
    )
    for name, words in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if words and "uts" not in kinds:
            raise ConfigError(f"config.json: {name} is given without a uts namespace: it would be the machine's")
    if spec.domainname and spec.sysctl.get("kernel/domainname", spec.domainname) != spec.domainname:
        raise ConfigError("config.json: linux.sysctl.kernel.domainname conflicts with the property domainname")
    linux.refuse("intelRdt", "mountLabel", "memoryPolicy", "netDevices")
    if spec.rootfs_propagation and spec.rootfs_propagation not in PROPAGATION:
        raise ConfigError(
            f"config.json: linux.rootfsPropagation is {spec.rootfs_propagation!r}, which no mount can have",
            f"one of {', '.join(PROPAGATION)}",
        )
    return spec


def _absolute(linux: Reader, name: str) -> list[str]:
    for path in linux.strings(name):
        if not path.startswith("/"):
            raise ConfigError(f"config.json: {linux.where(name)} has {path!r}, which must be an absolute path")
    return linux.strings(name)


def _seccomp(linux: Reader) -> Profile | None:
    if not linux.value("seccomp", dict, {}):
        return None
    from labkit.runtime.oci.spec import seccomp  # local: many have no profile, and it is the longest of the sections

    return seccomp.read(linux.child("seccomp"))


def _annotations(top: Reader) -> dict[str, str]:
    """Words of the caller's for the container (config.md, "Annotations")."""
    found: dict[str, str] = top.value("annotations", dict, {})
    if not all(isinstance(value, str) for value in found.values()) or "" in found:
        raise ConfigError("config.json: annotations must have names, and strings as values")
    return found
