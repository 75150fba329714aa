"""Limits and devices (config-linux.md, "Control groups")."""

from __future__ import annotations

from typing import Any

from labkit.cgroups import devices
from labkit.document import Reader
from labkit.errors import ConfigError
from labkit.oci import defaults


def read(reader: Reader) -> dict[str, Any]:
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
