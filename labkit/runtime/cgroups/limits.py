"""From the specification's resources (config-linux.md, "Control groups") to files and values. Pure.

The specification speaks v1's language. What v2 calls otherwise is converted as runc and crun do it. As with runc a
number that is 0 is not set. What few ask for (disks, huge pages, networks, RDMA) is in rarelimits.py.
"""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.cgroups.grouptree import Settings, add
from labkit.runtime.std.typing import Any

_PERIOD = 100000
"""Microseconds, the kernel's default (CONFIG_CFS_BANDWIDTH)."""

_RARE = ("blockIO", "hugepageLimits", "network", "rdma", "unified")

#: What v2 has no file for, and runc ignores there. (Kernel memory is not limited on v1 either, from Linux 5.16 on.)
_ONLY_V1 = {
    "memory": ("kernel", "kernelTCP", "swappiness", "disableOOMKiller"),
    "cpu": ("realtimeRuntime", "realtimePeriod"),
}


def for_v2(resources: dict[str, Any]) -> Settings:
    """In v2's terms (Documentation/admin-guide/cgroup-v2.rst). ConfigError for what contradicts itself."""
    settings: Settings = {}
    cpu, memory = (resources.get(name, {}) for name in ("cpu", "memory"))
    if cpu.get("idle") is not None:
        add(settings, "cpu", "cpu.idle", cpu["idle"], "cpu.idle")
    if cpu.get("shares"):
        add(settings, "cpu", "cpu.weight", weight(cpu["shares"]), "cpu.shares")
    if cpu.get("quota") or cpu.get("period"):
        quota = cpu.get("quota") or -1
        value = f"{_or_max(quota)} {cpu.get('period') or _PERIOD}"
        add(settings, "cpu", "cpu.max", value, "cpu.quota" if cpu.get("quota") else "cpu.period")
    _burst(settings, "cpu.max.burst", cpu)
    for name in ("cpus", "mems"):
        if cpu.get(name):
            add(settings, "cpuset", f"cpuset.{name}", cpu[name], f"cpu.{name}")
    _memory_v2(settings, memory)
    _pids(settings, resources)
    if any(resources.get(name) for name in _RARE):
        from labkit.runtime.cgroups import rarelimits  # local: nearly no container asks for these

        rarelimits.add_v2(settings, resources)
    return settings


def for_v1(resources: dict[str, Any]) -> Settings:
    """In v1's terms (Documentation/admin-guide/cgroup-v1), where each controller has a tree of its own."""
    settings: Settings = {}
    cpu, memory = (resources.get(name, {}) for name in ("cpu", "memory"))
    for name, file in (("realtimePeriod", "cpu.rt_period_us"), ("realtimeRuntime", "cpu.rt_runtime_us")):
        if cpu.get(name):
            add(settings, "cpu", file, cpu[name], f"cpu.{name}")
    if cpu.get("shares"):
        _check_shares(cpu["shares"])
        add(settings, "cpu", "cpu.shares", cpu["shares"], "cpu.shares")
    if cpu.get("quota") or cpu.get("period"):
        add(settings, "cpu", "cpu.cfs_period_us", cpu.get("period") or _PERIOD, "cpu.period")
    if cpu.get("quota"):
        add(settings, "cpu", "cpu.cfs_quota_us", cpu["quota"], "cpu.quota")
    _burst(settings, "cpu.cfs_burst_us", cpu)
    if cpu.get("idle") is not None:
        add(settings, "cpu", "cpu.idle", cpu["idle"], "cpu.idle")
    for name in ("cpus", "mems"):
        if cpu.get(name):
            add(settings, "cpuset", f"cpuset.{name}", cpu[name], f"cpu.{name}")
    _memory_v1(settings, memory)
    _pids(settings, resources)
    if any(resources.get(name) for name in _RARE):
        from labkit.runtime.cgroups import rarelimits  # local, as above

        rarelimits.add_v1(settings, resources)
    return settings


def _check_shares(shares: int) -> None:
    """The kernel would take the nearest that is possible, and say nothing (its MIN_SHARES and MAX_SHARES)."""
    if not 2 <= shares <= 262144:
        bound = "minimum allowed cpu-shares is 2" if shares < 2 else "maximum allowed cpu-shares is 262144"
        raise ConfigError(f"the {bound}", f"it would be {shares}; 1024 is the default")


def ignored(resources: dict[str, Any], version: str) -> list[str]:
    """The properties that are asked for and that the kernel has no file for, as ``memory.kernel``; runc ignores them,
    too. ``version`` is v1 or v2.
    """
    names = {"memory": ("kernel", "kernelTCP")} if version == "v1" else _ONLY_V1
    return [
        f"{section}.{name}"
        for section, properties in names.items()
        for name in properties
        if resources.get(section, {}).get(name) not in (None, False, 0, -1)
    ]


def _burst(settings: Settings, name: str, cpu: dict[str, Any]) -> None:
    if cpu.get("burst") is not None:
        # 0 is what a kernel without it (before Linux 5.14) does.
        add(settings, "cpu", name, cpu["burst"], "cpu.burst", optional=not cpu["burst"])


def _memory_v2(settings: Settings, memory: dict[str, Any]) -> None:
    alone = swap_alone(memory.get("swap") or 0, memory.get("limit") or 0)
    if alone is not None:
        # Where the kernel counts no swap there is none to limit or to set free: runc says nothing either.
        add(settings, "memory", "memory.swap.max", _or_max(alone), "memory.swap", optional=alone <= 0)
    if memory.get("limit"):
        add(settings, "memory", "memory.max", _or_max(memory["limit"]), "memory.limit")
    if memory.get("reservation"):
        add(settings, "memory", "memory.low", _or_max(memory["reservation"]), "memory.reservation")


def _memory_v1(settings: Settings, memory: dict[str, Any]) -> None:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if memory.get("useHierarchy"):
        # So it is anyway from Linux 5.11 on, and below a group that has it; then the write is refused or the same.
        add(settings, "memory", "memory.use_hierarchy", 1, "memory.useHierarchy", optional=True)
    if limit:
        add(settings, "memory", "memory.limit_in_bytes", limit, "memory.limit")
    if swap or limit == -1:
        both = swap or -1  # without a limit of memory one of both would be none: they are set free together
        add(settings, "memory", "memory.memsw.limit_in_bytes", both, "memory.swap", optional=both == -1)
        if limit > 0:
            swap_alone(both, limit)  # refused here if it is the smaller one
    if memory.get("reservation"):
        add(settings, "memory", "memory.soft_limit_in_bytes", memory["reservation"], "memory.reservation")
    if memory.get("disableOOMKiller"):
        add(settings, "memory", "memory.oom_control", 1, "memory.disableOOMKiller")
    swappiness = memory.get("swappiness")
    if swappiness is not None and swappiness != -1:
        if swappiness > 100:
            raise ConfigError(
                f"linux.resources.memory.swappiness is {swappiness}, and must be from 0 to 100",
                "0 swaps as late as can be, 60 is the kernel's own",
            )
        add(settings, "memory", "memory.swappiness", swappiness, "memory.swappiness")


def _pids(settings: Settings, resources: dict[str, Any]) -> None:
    limit = resources.get("pids", {}).get("limit")
    if limit:
        add(settings, "pids", "pids.max", _or_max(limit), "pids.limit")


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


def swap_alone(both: int, memory: int) -> int | None:
    """v1 limits memory and swap together, v2 swap alone. -1 is no limit, 0 and None are not said.

    Memory without a limit and nothing said of swap sets both free, as on v1. ConfigError where both together would be
    less than memory alone, or memory has no number to be subtracted.
    """
    if both == 0:
        return -1 if memory == -1 else None
    if both == -1:
        return -1
    if memory == 0:
        raise ConfigError(
            "linux.resources.memory.swap limits memory and swap together, and needs memory.limit", "set both"
        )
    if not 0 <= memory <= both:
        raise ConfigError(
            f"linux.resources.memory.swap is {both} and memory.limit {memory}: memory and swap together are not less "
            "than memory",
            "set swap to the sum of both",
        )
    return both - memory


def merged(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Resources with those of ``wanted`` in place of their earlier values."""
    changed = {
        name: {**before.get(name, {}), **values} if isinstance(values, dict) else values
        for name, values in wanted.items()
    }
    return {**before, **changed}


def to_change(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What ``group.change`` is to be given so that of a group with ``before`` only ``wanted`` changes, as by runc.

    That is ``wanted``, with what it needs to be written at all: a quota and its period are one line on v2, and swap is
    counted from the limit of memory. Another limit of memory alone leaves swap as it is.
    """
    changed = dict(wanted)
    for section, first, second, both_ways in (("cpu", "quota", "period", True), ("memory", "swap", "limit", False)):
        if not all(isinstance(each, dict) for each in (wanted.get(section, {}), before.get(section) or {})):
            continue  # that is no section; who reads it says so
        values, old = dict(wanted.get(section, {})), before.get(section) or {}
        for name, other in ((first, second), (second, first)) if both_ways else ((first, second),):
            if values.get(name) is not None and values.get(other) is None and old.get(other) is not None:
                values[other] = old[other]
        if values:
            changed[section] = values
    return changed


def _or_max(value: int) -> str:
    # The specification's "no limit" is -1; the kernel's word is max.
    return "max" if value < 0 else str(value)
