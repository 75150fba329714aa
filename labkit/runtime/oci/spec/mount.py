"""Mounts (config.md, "Mounts")."""

from __future__ import annotations

import os

from labkit.errors import ConfigError
from labkit.runtime.kernel import mountoptions
from labkit.runtime.kernel.mounts import MS_REMOUNT
from labkit.runtime.oci.spec import namespace
from labkit.runtime.oci.spec.namespace import IdMapping
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.text.document import Reader

IdMaps = tuple[list[IdMapping], list[IdMapping]]


@dataclass(frozen=True)
class MountPoint:
    """One mount (config.md, "Mounts"); ``options`` in mount(8)'s words."""

    destination: str
    kind: str
    """The file system's type; ``bind`` for a directory or file of the host, ``remount`` for new flags of one."""
    source: str
    options: list[str]
    users: list[IdMapping] = field(default_factory=list)
    """With the option idmap or ridmap: which number on the disk (``inside``) is which in the mount (``outside``)."""
    groups: list[IdMapping] = field(default_factory=list)


def read(reader: Reader, bundle: str, own_maps: IdMaps) -> MountPoint:
    """One entry of ``mounts``; what is bound is looked for from ``bundle``.

    ``own_maps`` are those of the container's user namespace, which a mount has that is to be mapped and says not how.
    """
    destination = reader.value("destination", str)
    kind = reader.value("type", str, "") or "none"
    source = reader.value("source", str, "")
    options = reader.strings("options")
    if not destination:
        raise ConfigError(f"config.json: {reader.where('destination')} must name a place in the container")
    parsed = mountoptions.parse(options)
    if parsed.is_bind and parsed.flags & MS_REMOUNT:
        kind = "remount"
    elif parsed.is_bind or kind in ("bind", "rbind"):
        if not parsed.is_bind:
            options = [kind, *options]
        if not source:
            raise ConfigError(f"config.json: {reader.where('source')} is missing, and a bind mount needs it")
        kind, source = "bind", os.path.join(bundle, source)
    elif parsed.copies_up and kind != "tmpfs":
        raise ConfigError(f"config.json: {reader.where('options')} has tmpcopyup, which only a tmpfs can do")
    users, groups = _id_maps(reader, parsed.id_map, kind, own_maps)
    # A relative destination is deprecated, and taken from the root.
    return MountPoint("/" + destination.lstrip("/"), kind, source, options, users, groups)


def _id_maps(reader: Reader, word: str, kind: str, own_maps: IdMaps) -> IdMaps:
    users, groups = (namespace.read_mapping_list(reader, name) for name in ("uidMappings", "gidMappings"))
    if bool(users) != bool(groups):
        raise ConfigError(f"config.json: {reader.place} has mappings of users or of groups, and must have both")
    if users and not word:
        raise ConfigError(f"config.json: {reader.where('uidMappings')} is given without the option idmap or ridmap")
    if not word:
        return [], []
    if kind != "bind":
        raise ConfigError(f"config.json: {reader.where('options')} has {word}, which only a bind mount can do")
    users, groups = (users, groups) if users else own_maps
    if not users:
        raise ConfigError(
            f"config.json: {reader.where('options')} has {word}, and there is nothing that says how",
            "give the mount uidMappings and gidMappings, or the container a user namespace with some",
        )
    return users, groups
