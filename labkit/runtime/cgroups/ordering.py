"""The order in which limits that hang together are changed, so that no step between is one that the kernel refuses."""

from __future__ import annotations

from labkit.runtime.cgroups.grouptree import ChangeSetting

_MEMORY, _BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
_PERIOD, _QUOTA = "cpu.cfs_period_us", "cpu.cfs_quota_us"
_BURSTS = ("cpu.cfs_burst_us", "cpu.max.burst")
_MAXIMA = (_QUOTA, "cpu.max")


def in_order(planned: list[ChangeSetting]) -> list[ChangeSetting]:
    """The changes of one controller, those of each pair below in the right order."""
    found = {change.name: number for number, change in enumerate(planned)}
    for first, second, swapped in (
        (_MEMORY, _BOTH, _both_first),
        (_PERIOD, _QUOTA, _quota_first),
        *((quota, burst, _burst_first) for quota in _MAXIMA for burst in _BURSTS),
    ):
        if first in found and second in found and swapped(planned[found[first]], planned[found[second]]):
            one, other = found[first], found[second]
            planned[one], planned[other] = planned[other], planned[one]
            found[first], found[second] = other, one
    return planned


def _both_first(memory: ChangeSetting, both: ChangeSetting) -> bool:
    """Memory and swap together must never be less than memory alone (cgroup-v1/memory.rst): what grows goes first."""
    return both.value == "-1" or int(both.value) > int(memory.before or 0)


def _quota_first(period: ChangeSetting, quota: ChangeSetting) -> bool:
    """The share of the processors must never be more than the group's above: the smaller step between is taken.

    No quota is never too much: such a group has what the one above has.
    """
    if "-1" in (quota.before, quota.value) or not (quota.before and period.before):
        return quota.value == "-1"
    return int(quota.before) * int(period.before) > int(quota.value) * int(period.value)


def _burst_first(_: ChangeSetting, burst: ChangeSetting) -> bool:
    """What may be saved up must never be more than the quota: a smaller burst goes first, a larger one last."""
    return int(burst.value) < int(burst.before or 0)
