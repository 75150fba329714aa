"""Mounts (config.md, "Mounts")."""

from __future__ import annotations

from labkit.document import Reader
from labkit.errors import ConfigError
from labkit.value import Value


class MountPoint(Value):
    """One mount (config.md, "Mounts"); ``options`` in mount(8)'s words."""

    destination: str
    kind: str
    source: str
    options: list[str]


def read(reader: Reader) -> MountPoint:
    """One entry of ``mounts``."""
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
