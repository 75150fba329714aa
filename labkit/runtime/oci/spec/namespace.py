"""Namespaces, and what belongs to two kinds of them: id mappings and time offsets (config-linux.md)."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.kernel import namespaces
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.text.document import Reader

#: Clocks that a time namespace can shift (time_namespaces(7)).
CLOCKS = ("monotonic", "boottime")


@dataclass(frozen=True)
class IdMapping:
    """A range of user or group numbers: ``inside`` the user namespace, and ``outside`` in its parent."""

    inside: int
    outside: int
    size: int


def read_all(linux: Reader) -> dict[str, str]:
    """``linux.namespaces``: the kernel's name of the kind -> the path of one to join, or nothing for a new one."""
    found: dict[str, str] = {}
    for item in linux.children("namespaces"):
        kind = item.value("type", str)
        path = item.value("path", str, "")
        if kind not in namespaces.OCI_NAMES:
            raise ConfigError(f"config.json: {item.where('type')} is {kind!r}, which is no kind of namespace")
        if namespaces.OCI_NAMES[kind] in found:
            raise ConfigError(f"config.json: {item.where('type')} is {kind!r} for the second time")
        if path and (not path.startswith("/") or "\0" in path):
            raise ConfigError(f"config.json: {item.where('path')} must be an absolute path")
        found[namespaces.OCI_NAMES[kind]] = path
    return found


def read_mappings(linux: Reader, name: str, kinds: dict[str, str]) -> list[IdMapping]:
    """``linux.uidMappings`` or ``linux.gidMappings``; a new user namespace needs both, and no other may have them."""
    mappings = read_mapping_list(linux, name)
    if mappings and "user" not in kinds:
        raise ConfigError(f"config.json: {linux.where(name)} is given without a user namespace")
    if kinds.get("user") == "" and not mappings:
        raise ConfigError(f"config.json: {linux.where(name)} is missing, which a new user namespace needs")
    return mappings


def read_mapping_list(reader: Reader, name: str) -> list[IdMapping]:
    """A property that is a list of ranges; empty where it is not there."""
    return [_mapping(item) for item in reader.children(name)]


def _mapping(item: Reader) -> IdMapping:
    mapping = IdMapping(item.value("containerID", int), item.value("hostID", int), item.value("size", int))
    ends = (mapping.inside + mapping.size, mapping.outside + mapping.size)
    if min(mapping.inside, mapping.outside) < 0 or mapping.size < 1 or max(ends) >= 1 << 32:
        raise ConfigError(f"config.json: {item.place} is no range of numbers from 0 to 2^32-2")
    return mapping


def read_time_offsets(linux: Reader, kinds: dict[str, str]) -> dict[str, tuple[int, int]]:
    """``linux.timeOffsets``: clock -> (seconds, nanoseconds); only a new time namespace can have them."""
    offsets = linux.child("timeOffsets", optional=True)
    found = {}
    for clock in CLOCKS:
        if offsets.get(clock) is not None:
            shift = offsets.child(clock)
            seconds, nanoseconds = shift.value("secs", int, 0), shift.value("nanosecs", int, 0)
            if not -(1 << 63) <= seconds < 1 << 63 or not 0 <= nanoseconds < 1_000_000_000:
                raise ConfigError(
                    f"config.json: {shift.place} must be seconds in 64 bits and nanoseconds below a second"
                )
            found[clock] = (seconds, nanoseconds)
    offsets.refuse(*(set(offsets.object) - set(CLOCKS)))
    if found and kinds.get("time") != "":
        raise ConfigError(f"config.json: {offsets.place} is given without a new time namespace")
    return found
