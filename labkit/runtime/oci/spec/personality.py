"""The execution domain (config-linux.md, "Personality")."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.text.document import Reader

#: include/uapi/linux/personality.h
_DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}


def read(linux: Reader) -> int | None:
    """The number for personality(2), or None where nothing is asked for."""
    reader = linux.child("personality", optional=True)
    if not reader.object:
        return None
    domain = reader.value("domain", str)
    if reader.strings("flags"):
        raise ConfigError(f"config.json: {reader.where('flags')} must be empty: the specification defines none")
    if domain not in _DOMAINS:
        raise ConfigError(f"config.json: {reader.where('domain')} is {domain!r}, and must be LINUX or LINUX32")
    return _DOMAINS[domain]
