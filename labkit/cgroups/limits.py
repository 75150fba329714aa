"""From the specification's resources (config-linux.md, "Control groups") to files and values. Pure.

The specification speaks v1's language. What v2 calls otherwise is converted as runc and crun do it.
"""

from __future__ import annotations

from typing import Any

#: A file's name and what is written into it.
Setting = tuple[str, str]
#: Controller -> its settings, in the order in which they are written.
Settings = dict[str, list[Setting]]

_PERIOD = 100000
"""Microseconds, the kernel's default (CONFIG_CFS_BANDWIDTH)."""


def for_v2(resources: dict[str, Any]) -> Settings:
    """``cpu``, ``cpuset``, ``memory`` and ``pids`` in v2's terms (Documentation/admin-guide/cgroup-v2.rst)."""
    settings: Settings = {}
    cpu, memory, pids = (resources.get(name, {}) for name in ("cpu", "memory", "pids"))
    if cpu.get("shares"):
        _add(settings, "cpu", "cpu.weight", str(weight(cpu["shares"])))
    if cpu.get("quota") is not None:
        _add(settings, "cpu", "cpu.max", f"{_or_max(cpu['quota'])} {cpu.get('period', _PERIOD)}")
    if cpu.get("cpus"):
        _add(settings, "cpuset", "cpuset.cpus", cpu["cpus"])
    if memory.get("limit") is not None:
        _add(settings, "memory", "memory.max", _or_max(memory["limit"]))
    if memory.get("swap") is not None:
        _add(settings, "memory", "memory.swap.max", _or_max(swap_alone(memory["swap"], memory.get("limit", -1))))
    if pids.get("limit") is not None:
        _add(settings, "pids", "pids.max", _or_max(pids["limit"]))
    return settings


def for_v1(resources: dict[str, Any]) -> Settings:
    """The same for v1 (Documentation/admin-guide/cgroup-v1), where each controller has a tree of its own."""
    settings: Settings = {}
    cpu, memory, pids = (resources.get(name, {}) for name in ("cpu", "memory", "pids"))
    if cpu.get("shares"):
        _add(settings, "cpu", "cpu.shares", str(cpu["shares"]))
    if cpu.get("quota") is not None:
        _add(settings, "cpu", "cpu.cfs_period_us", str(cpu.get("period", _PERIOD)))
        _add(settings, "cpu", "cpu.cfs_quota_us", str(cpu["quota"]))
    if cpu.get("cpus"):
        _add(settings, "cpuset", "cpuset.cpus", cpu["cpus"])
    if memory.get("limit") is not None:
        _add(settings, "memory", "memory.limit_in_bytes", str(memory["limit"]))
    if memory.get("swap") is not None:
        _add(settings, "memory", "memory.memsw.limit_in_bytes", str(memory["swap"]))
    if pids.get("limit") is not None:
        _add(settings, "pids", "pids.max", _or_max(pids["limit"]))
    return settings


def weight(shares: int) -> int:
    """v1's shares (2 to 262144, 1024 by default) as v2's weight (1 to 10000, 100 by default).

    Both ends and the default go to one another, by a curve through these three points (runc and crun since 2025). The
    straight line of before, ``1 + (shares - 2) * 9999 / 262142``, made 39 of the default: a container that was given
    just that had less than half of what its neighbours had.
    """
    from math import ceil, log2  # local: nearly no container asks for shares

    if shares <= 2:
        return 1
    exponent = log2(min(shares, 262144))
    return min(10000, ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34)))


def swap_alone(both: int, memory: int) -> int:
    """v1 limits memory and swap together, v2 swap alone. -1 is no limit."""
    if both < 0 or memory < 0:
        return -1
    return max(0, both - memory)


def merged(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Resources with those of ``wanted`` in place of their earlier values."""
    changed = {name: {**before.get(name, {}), **values} for name, values in wanted.items()}
    return {**before, **changed}


def _add(settings: Settings, controller: str, name: str, value: str) -> None:
    settings.setdefault(controller, []).append((name, value))


def _or_max(value: int) -> str:
    # The specification's "no limit" is -1; the kernel's word is max.
    return "max" if value < 0 else str(value)
