"""config.json: what of the OCI runtime specification (1.2) labkit runs, read and checked.

A property that is not known here is refused by its name, never ignored: a limit that is silently not set is worse
than an error.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from labkit.errors import ConfigError
from labkit.kernel import capabilities, namespaces

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
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


@dataclass(frozen=True)
class MountPoint:
    """One mount (config.md, "Mounts"); ``options`` in mount(8)'s words."""

    destination: str
    kind: str
    source: str
    options: list[str]


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


def load(bundle: str) -> Spec:
    """Read ``bundle/config.json``. ConfigError says which file and which property."""
    path = Path(bundle, "config.json")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", "a bundle is a directory with a config.json and a root file system"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from None
    return parse(document, bundle)


def parse(document: Any, bundle: str) -> Spec:
    """The checked form of a specification; relative paths of the root are taken from ``bundle``."""
    top = _Reader(document, "")
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
        mounts=[_mount(_Reader(item, f"mounts[{n}]")) for n, item in enumerate(top.value("mounts", list, []))],
        namespaces=dict(
            _namespace(_Reader(item, f"linux.namespaces[{n}]"))
            for n, item in enumerate(linux.value("namespaces", list, []))
        ),
        cgroups_path=linux.value("cgroupsPath", str, ""),
        resources=_resources(linux.child("resources", optional=True)),
        masked_paths=linux.strings("maskedPaths"),
        readonly_paths=linux.strings("readonlyPaths"),
    )
    for reader in (top, process, root, linux):
        reader.refuse_others()
    return spec


class _Reader:
    """One object of the document: it hands out properties by name and type, and knows which nobody asked for."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"config.json: {place or 'the document'} must be an object")
        self.object = value
        self.place = place
        self.asked: set[str] = set()

    def value(self, name: str, kind: type[T], default: T | None = None) -> T:
        self.asked.add(name)
        found = self.object.get(name, default)
        if found is None:
            raise ConfigError(f"config.json: {self.where(name)} is missing")
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise ConfigError(
                f"config.json: {self.where(name)} must be of type {kind.__name__}, not {type(found).__name__}"
            )
        return found

    def strings(self, name: str) -> list[str]:
        items = self.value(name, list, [])
        if not all(isinstance(item, str) and "\0" not in item for item in items):
            raise ConfigError(f"config.json: {self.where(name)} must hold strings only")
        return items

    def child(self, name: str, optional: bool = False) -> _Reader:
        self.asked.add(name)
        return _Reader(self.object.get(name, {} if optional else None), self.where(name))

    def where(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def refuse_others(self) -> None:
        for name in self.object:
            if name not in self.asked:
                raise ConfigError(
                    f"config.json: labkit does not support {self.where(name)}", "take it out, or use another runtime"
                )


def _process(reader: _Reader) -> Process:
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
        additional_gids=user.value("additionalGids", list, []),
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


def _mount(reader: _Reader) -> MountPoint:
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


def _namespace(reader: _Reader) -> tuple[str, str]:
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


def _resources(reader: _Reader) -> dict[str, Any]:
    """Only what cgroups/limits.py sets; checked to the last property."""
    known = {"memory": ["limit"], "cpu": ["quota", "period"], "pids": ["limit"]}
    resources: dict[str, Any] = {}
    for controller, properties in known.items():
        part = reader.child(controller, optional=True)
        values = {name: part.value(name, int) for name in properties if name in part.object}
        part.asked.update(properties)
        part.refuse_others()
        if values:
            resources[controller] = values
    reader.refuse_others()
    return resources
