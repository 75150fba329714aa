"""Devices (config-linux.md, "Devices")."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.text.document import Reader


@dataclass(frozen=True)
class Device:
    """A node that the container gets besides the default ones."""

    path: str
    kind: str
    """c, b, u (a character device, unbuffered) or p (a fifo)."""
    major: int
    minor: int
    mode: int
    uid: int
    gid: int
    source: str = ""
    """Where the host has it, if it is to be bound (root/nodeoutside.py); the configuration has no such word."""


def read(reader: Reader) -> Device:
    """One entry of ``linux.devices``; a fifo has no numbers."""
    kind = reader.value("type", str)
    if kind not in ("c", "b", "u", "p"):
        raise ConfigError(f"config.json: {reader.where('type')} is {kind!r}, and must be c, b, u or p")
    without = 0 if kind == "p" else None
    device = Device(
        path=reader.value("path", str),
        kind=kind,
        major=reader.value("major", int, without),
        minor=reader.value("minor", int, without),
        # podman and others send the bits of the file's type along.
        mode=reader.value("fileMode", int, 0o666) & 0o7777,
        uid=reader.value("uid", int, 0),
        gid=reader.value("gid", int, 0),
    )
    if not device.path.startswith("/") or device.path.rstrip("/").rpartition("/")[2] in ("", ".", ".."):
        raise ConfigError(f"config.json: {reader.where('path')} must be an absolute path of a file")
    # MINORBITS of the kernel is 20, and 12 bits are left for the major number.
    if not (0 <= device.major < 1 << 12 and 0 <= device.minor < 1 << 20):
        raise ConfigError(f"config.json: {reader.where('major')} and minor must be a device's numbers")
    if not (0 <= device.uid < 1 << 32 and 0 <= device.gid < 1 << 32):
        raise ConfigError(f"config.json: {reader.where('uid')} and gid must be numbers of a user and a group")
    return device
