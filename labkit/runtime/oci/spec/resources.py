"""Limits and devices (config-linux.md, "Control groups"): every property of the section, with its type and range."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.cgroups import devices
from labkit.runtime.oci import defaults
from labkit.runtime.std.typing import Any
from labkit.runtime.text.document import Reader

#: Section -> property -> kind. What one of cgroup's versions cannot set is said by cgroups, which knows which
#: version the machine has.
_SECTIONS: dict[str, dict[str, type]] = {
    "memory": {
        "limit": int,
        "reservation": int,
        "swap": int,
        "kernel": int,
        "kernelTCP": int,
        "swappiness": int,
        "disableOOMKiller": bool,
        "useHierarchy": bool,
        "checkBeforeUpdate": bool,
    },
    "cpu": {
        "shares": int,
        "quota": int,
        "burst": int,
        "period": int,
        "realtimeRuntime": int,
        "realtimePeriod": int,
        "cpus": str,
        "mems": str,
        "idle": int,
    },
    "pids": {"limit": int},
}

_NAMES = {
    name.lower(): name for name in (*_SECTIONS, "blockIO", "hugepageLimits", "network", "rdma", "unified", "devices")
}

_UNSIGNED = ("shares", "burst", "period", "realtimePeriod", "hcaHandles", "hcaObjects")

_THROTTLES = (
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
)

_MAXIMUM = (1 << 64) - 1


def read(reader: Reader, default_devices: bool = True) -> dict[str, Any]:
    """The section as plain dictionaries, checked; what is not there is left out.

    ``devices`` becomes the list of what is allowed in the end (cgroups/devices.py). As with runc a container that has
    no rules at all gets the default list, and not all devices; ``default_devices`` false leaves them alone (update).
    """
    resources: dict[str, Any] = {}
    for section, properties in _SECTIONS.items():
        _keep(resources, section, _values(reader.child(section, optional=True), properties))
    _keep(resources, "blockIO", _block_io(reader.child("blockIO", optional=True)))
    _keep(resources, "hugepageLimits", [_huge_page(item) for item in reader.children("hugepageLimits")])
    _keep(resources, "network", _network(reader.child("network", optional=True)))
    _keep(resources, "rdma", _rdma(reader.child("rdma", optional=True)))
    _keep(resources, "unified", _unified(reader.child("unified", optional=True)))
    rules = [rule for rule in map(_device_rule, reader.children("devices")) if rule["access"] or rule["type"] == "a"]
    if rules or default_devices:
        resources["devices"] = devices.allowed([*rules, *defaults.ALLOWED_DEVICES])
    return resources


def in_order(document: dict[str, Any]) -> dict[str, Any]:
    """The section with its properties' names in the specification's capitals, for who must compare two of them."""
    found = {}
    for name, value in document.items():
        section = _NAMES.get(name.lower(), name)
        inner = {
            inner.lower(): inner for inner in _SECTIONS.get(section, {"weight": int} if section == "blockIO" else ())
        }
        if inner and isinstance(value, dict):
            value = {inner.get(key.lower(), key): what for key, what in value.items()}
        found[section] = value
    return found


def _keep(resources: dict[str, Any], name: str, value: Any) -> None:
    if value:
        resources[name] = value


def _values(part: Reader, properties: dict[str, type]) -> dict[str, Any]:
    """Those of ``properties`` that are there; numbers are from -1 (no limit) to what 64 bits hold."""
    there = [name for name in properties if part.get(name) is not None]
    values: dict[str, Any] = {name: part.value(name, properties[name]) for name in there}
    for name, value in values.items():
        if properties[name] is int:
            _check_number(part, name, value, 0 if name in _UNSIGNED else -1)
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{part.file}: {part.where(name)} holds a zero byte")
    return values


def _check_number(part: Reader, name: str, value: int, least: int = -1, most: int = _MAXIMUM) -> int:
    if not least <= value <= most:
        raise ConfigError(f"{part.file}: {part.where(name)} is {value}, and must be from {least} to {most}")
    return value


def _number(part: Reader, name: str, least: int = 0, most: int = _MAXIMUM) -> int:
    return _check_number(part, name, part.value(name, int), least, most)


def _block_io(part: Reader) -> dict[str, Any]:
    """``weight``, ``leafWeight``, ``weightDevice`` and the four kinds of throttles; devices are lists of objects."""
    found: dict[str, Any] = {}
    for name in ("weight", "leafWeight"):
        if part.get(name) is not None:
            found[name] = _number(part, name, 0, 1000)
    weights = []
    for item in part.children("weightDevice"):
        entry = {name: _number(item, name, 0, 1 << 32) for name in ("major", "minor")}
        for name in ("weight", "leafWeight"):
            if item.get(name) is not None:
                entry[name] = _number(item, name, 0, 1000)
        weights.append(entry)
    _keep(found, "weightDevice", weights)
    for kind in _THROTTLES:
        rates = [{name: _number(item, name) for name in ("major", "minor", "rate")} for item in part.children(kind)]
        _keep(found, kind, rates)
    return found


def _huge_page(item: Reader) -> dict[str, Any]:
    size = item.value("pageSize", str)
    # It becomes a file's name: hugetlb.2MB.max.
    digits, unit = size[:-2], size[-2:]
    if unit not in ("KB", "MB", "GB") or not (digits.isascii() and digits.isdigit()):
        raise ConfigError(f"{item.file}: {item.where('pageSize')} is '{size}', and must be like 64KB, 2MB or 1GB")
    return {"pageSize": size, "limit": _number(item, "limit")}


def _network(part: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if part.get("classID") is not None:
        found["classID"] = _number(part, "classID", 0, (1 << 32) - 1)
    priorities = [
        {"name": item.value("name", str), "priority": _number(item, "priority", 0, (1 << 32) - 1)}
        for item in part.children("priorities")
    ]
    _keep(found, "priorities", priorities)
    return found


def _rdma(part: Reader) -> dict[str, Any]:
    """Device -> ``hcaHandles`` and ``hcaObjects``, at least one of the two."""
    found = {}
    for device in part.object:
        entry = _values(part.child(device), {"hcaHandles": int, "hcaObjects": int})
        if not entry:
            raise ConfigError(f"{part.file}: {part.where(device)} needs hcaHandles or hcaObjects")
        found[device] = entry
    return found


def _unified(part: Reader) -> dict[str, str]:
    """File -> text. A name is that of a file in the group's own directory."""
    found = {}
    for name in part.object:
        found[name] = part.value(name, str)
        if "/" in name or "\0" in name + found[name]:
            raise ConfigError(
                f'{part.file}: unified resource "{name}" must be a file name (no slashes)',
                "its values belong to the container's own group",
            )
        if len(name.split(".", 1)) != 2:
            raise ConfigError(f'{part.file}: unified resource "{name}" must be in the form CONTROLLER.PARAMETER')
    return found


def _device_rule(reader: Reader) -> dict[str, Any]:
    """One entry of the allowed device list; ``type`` and a number that are missing mean all."""
    rule: dict[str, Any] = {
        "allow": reader.value("allow", bool),
        "type": reader.value("type", str, "a") or "a",
        "major": reader.value("major", int, -1),
        "minor": reader.value("minor", int, -1),
        # runc takes the letter a here, too, which means all kinds of devices elsewhere, and does nothing with it.
        "access": (reader.value("access", str, "rwm") or "rwm").replace("a", ""),
    }
    if rule["type"] not in ("a", "b", "c"):
        raise ConfigError(f"config.json: {reader.where('type')} is '{rule['type']}', and must be a, b or c")
    if not all(-1 <= rule[name] < 1 << 20 for name in ("major", "minor")):  # MINORBITS of the kernel
        raise ConfigError(f"config.json: {reader.where('major')} and minor must be a device's numbers")
    if not set(rule["access"]) <= set("rwm"):
        raise ConfigError(f"config.json: {reader.where('access')} is '{rule['access']}', and must be of r, w and m")
    return rule
