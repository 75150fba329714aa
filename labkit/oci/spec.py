"""config.json: what of the OCI runtime specification (1.2) labkit runs, read and checked.

A property that is not known here is refused by its name, never ignored: a limit that is silently not set is worse
than an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from labkit.cgroups import devices
from labkit.document import Reader
from labkit.errors import ConfigError
from labkit.kernel import capabilities, namespaces
from labkit.oci import defaults
from labkit.value import Value, field

#: The document's name in messages (config.md, "Configuration").
FILE = "config.json"


class Process(Value):
    """What is executed (config.md, "Process")."""

    args: list[str]
    env: list[str]
    cwd: str
    uid: int
    gid: int
    additional_gids: list[int]
    capabilities: dict[str, list[str]]
    """Set name (bounding, effective, inheritable, permitted, ambient) -> names as CAP_CHOWN."""
    no_new_privileges: bool


class MountPoint(Value):
    """One mount (config.md, "Mounts"); ``options`` in mount(8)'s words."""

    destination: str
    kind: str
    source: str
    options: list[str]


class Spec(Value):
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


def load(bundle: str) -> Spec:
    """Read ``bundle/config.json``. ConfigError says which file and which property."""
    path = Path(bundle, "config.json")
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", "a bundle is a directory with a config.json and a root file system"
        ) from None
    return parse(Reader.parse(text, FILE).object, bundle)


def parse(document: Any, bundle: str) -> Spec:
    """The checked form of a specification; relative paths of the root are taken from ``bundle``."""
    top = Reader(document, FILE)
    process = top.child("process")
    root = top.child("root")
    linux = top.child("linux")
    top.value("ociVersion", str, "1.2.0")
    top.value("annotations", dict, {})
    spec = Spec(
        process=_process(process),
        rootfs=os.path.abspath(os.path.join(bundle, root.value("path", str))),
        readonly_root=root.value("readonly", bool, False),
        hostname=top.value("hostname", str, ""),
        mounts=[_mount(item) for item in top.children("mounts")],
        namespaces=dict(_namespace(item) for item in linux.children("namespaces")),
        cgroups_path=linux.value("cgroupsPath", str, ""),
        resources=_resources(linux.child("resources", optional=True)),
        masked_paths=linux.strings("maskedPaths"),
        readonly_paths=linux.strings("readonlyPaths"),
    )
    for reader in (top, process, root, linux):
        reader.refuse_others()
    return spec


def _process(reader: Reader) -> Process:
    user = reader.child("user", optional=True)
    sets = reader.child("capabilities", optional=True)
    names = {name: sets.strings(name) for name in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    for name, members in names.items():
        try:
            capabilities.numbers(members)
        except ValueError as error:
            raise ConfigError(f"config.json: {sets.where(name)} names {error}, which is no capability") from None
    reader.value("terminal", bool, False)
    process = Process(
        args=reader.strings("args"),
        env=reader.strings("env"),
        cwd=reader.value("cwd", str),
        uid=user.value("uid", int, 0),
        gid=user.value("gid", int, 0),
        additional_gids=user.integers("additionalGids"),
        capabilities=names,
        no_new_privileges=reader.value("noNewPrivileges", bool, False),
    )
    if not process.args:
        raise ConfigError("config.json: process.args names no program")
    if not process.cwd.startswith("/"):
        raise ConfigError("config.json: process.cwd must be an absolute path")
    for other in (user, sets):
        other.refuse_others()
    return process


def _mount(reader: Reader) -> MountPoint:
    mount = MountPoint(
        destination=reader.value("destination", str),
        kind=reader.value("type", str, "none"),
        source=reader.value("source", str, ""),
        options=reader.strings("options"),
    )
    reader.refuse_others()
    if not mount.destination.startswith("/"):
        raise ConfigError(f"config.json: {reader.where('destination')} must be an absolute path")
    return mount


def _namespace(reader: Reader) -> tuple[str, str]:
    kind = reader.value("type", str)
    path = reader.value("path", str, "")
    reader.refuse_others()
    if kind not in namespaces.OCI_NAMES:
        raise ConfigError(f"config.json: {reader.where('type')} is '{kind}', which is no kind of namespace")
    if kind in ("user", "time"):
        raise ConfigError(
            f"config.json: labkit does not support {kind} namespaces yet", "take it out, or use another runtime"
        )
    return namespaces.OCI_NAMES[kind], path


def _resources(reader: Reader) -> dict[str, Any]:
    """Only what cgroups/limits.py and devices.py set; checked to the last property.

    ``devices`` becomes the list of what is allowed in the end, with what every container is given; without it nothing
    is filtered.
    """
    known: dict[str, dict[str, type]] = {
        "memory": {"limit": int, "swap": int},
        "cpu": {"shares": int, "quota": int, "period": int, "cpus": str},
        "pids": {"limit": int},
    }
    resources: dict[str, Any] = {}
    for controller, properties in known.items():
        part = reader.child(controller, optional=True)
        there = [name for name in properties if part.object.get(name) is not None]
        values: dict[str, Any] = {name: part.value(name, properties[name]) for name in there}
        part.refuse_others()
        if values:
            resources[controller] = values
    rules = [_device_rule(item) for item in reader.children("devices")]
    if rules:
        resources["devices"] = devices.allowed([*rules, *defaults.ALLOWED_DEVICES])
    reader.refuse_others()
    return resources


def _device_rule(reader: Reader) -> dict[str, Any]:
    """One entry of the allowed device list; ``type`` and a number that are missing mean all."""
    rule: dict[str, Any] = {
        "allow": reader.value("allow", bool),
        "type": reader.value("type", str, "a"),
        "major": reader.value("major", int, -1),
        "minor": reader.value("minor", int, -1),
        "access": reader.value("access", str, "rwm"),
    }
    reader.refuse_others()
    if rule["type"] not in ("a", "b", "c"):
        raise ConfigError(f"config.json: {reader.where('type')} is '{rule['type']}', and must be a, b or c")
    if not all(-1 <= rule[name] < 1 << 20 for name in ("major", "minor")):  # MINORBITS of the kernel
        raise ConfigError(f"config.json: {reader.where('major')} and minor must be a device's numbers")
    if not set(rule["access"]) <= set("rwm"):
        raise ConfigError(f"config.json: {reader.where('access')} is '{rule['access']}', and must be of r, w and m")
    return rule
