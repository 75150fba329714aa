"""From the specification's resources (config-linux.md, "Control groups") to files and values. Pure."""

from __future__ import annotations

from typing import Any

#: A file's name and what is written into it.
Setting = tuple[str, str]


def for_v2(resources: dict[str, Any]) -> list[Setting]:
    """``memory``, ``cpu`` and ``pids`` in v2's terms (Documentation/admin-guide/cgroup-v2.rst)."""
    settings: list[Setting] = []
    memory = resources.get("memory", {}).get("limit")
    if memory is not None:
        settings.append(("memory.max", _or_max(memory)))
    cpu = resources.get("cpu", {})
    if cpu.get("quota") is not None:
        settings.append(("cpu.max", f"{_or_max(cpu['quota'])} {cpu.get('period', 100000)}"))
    pids = resources.get("pids", {}).get("limit")
    if pids is not None:
        settings.append(("pids.max", _or_max(pids)))
    return settings


def for_v1(resources: dict[str, Any]) -> dict[str, list[Setting]]:
    """The same for v1 (Documentation/admin-guide/cgroup-v1), by controller: each has a tree of its own."""
    settings: dict[str, list[Setting]] = {}
    memory = resources.get("memory", {}).get("limit")
    if memory is not None:
        settings["memory"] = [("memory.limit_in_bytes", str(memory))]
    cpu = resources.get("cpu", {})
    if cpu.get("quota") is not None:
        settings["cpu"] = [
            ("cpu.cfs_period_us", str(cpu.get("period", 100000))),
            ("cpu.cfs_quota_us", str(cpu["quota"])),
        ]
    pids = resources.get("pids", {}).get("limit")
    if pids is not None:
        settings["pids"] = [("pids.max", _or_max(pids))]
    return settings


def _or_max(value: int) -> str:
    # The specification's "no limit" is -1 (0 for pids, too, as runc reads it); the kernel's word is max.
    return "max" if value < 0 else str(value)
