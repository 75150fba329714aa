"""Mounts (config.md, "Mounts")."""

from __future__ import annotations

import os

from labkit.document import Reader
from labkit.errors import ConfigError
from labkit.kernel import mountoptions
from labkit.kernel.mounts import MS_REMOUNT
from labkit.value import Value

#: What labkit cannot do yet; everything else that is unknown is the file system's own.
_UNSUPPORTED = ("idmap", "ridmap")


class MountPoint(Value):
    """One mount (config.md, "Mounts"); ``options`` in mount(8)'s words."""

    destination: str
    kind: str
    """The file system's type; ``bind`` for a directory or file of the host, ``remount`` for new flags of one."""
    source: str
    options: list[str]


def read(reader: Reader, bundle: str) -> MountPoint:
    """One entry of ``mounts``; what is bound is looked for from ``bundle``."""
    destination = reader.value("destination", str)
    kind = reader.value("type", str, "") or "none"
    source = reader.value("source", str, "")
    options = reader.strings("options")
    reader.refuse("uidMappings", "gidMappings")
    if not destination:
        raise ConfigError(f"config.json: {reader.where('destination')} must name a place in the container")
    for option in options:
        if option in _UNSUPPORTED:
            raise ConfigError(
                f"config.json: labkit does not support the mount option {option} ({reader.where('options')})",
                "take it out, or use another runtime",
            )
    parsed = mountoptions.parse(options)
    if parsed.is_bind and parsed.flags & MS_REMOUNT:
        kind = "remount"
    elif parsed.is_bind or kind in ("bind", "rbind"):
        if not parsed.is_bind:
            options = [kind, *options]
        if not source:
            raise ConfigError(f"config.json: {reader.where('source')} is missing, and a bind mount needs it")
        _refuse_others(parsed.data, reader)
        kind, source = "bind", os.path.join(bundle, source)
    elif parsed.copies_up and kind != "tmpfs":
        raise ConfigError(f"config.json: {reader.where('options')} has tmpcopyup, which only a tmpfs can do")
    # A relative destination is deprecated, and taken from the root.
    return MountPoint("/" + destination.lstrip("/"), kind, source, options)


def _refuse_others(data: str, reader: Reader) -> None:
    """The kernel would ignore what is the file system's own, since a bind mount makes none."""
    for word in data.split(","):
        # For other programs: x-… (fstab(5)), and what podman leaves in of its volumes' options.
        if word and not word.startswith(("x-", "X-")) and word not in ("copy", "nocopy"):
            raise ConfigError(f"config.json: {reader.where('options')} has {word!r}, which no bind mount can do")
