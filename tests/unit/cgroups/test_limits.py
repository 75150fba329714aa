from __future__ import annotations

import pytest

from labkit.cgroups import limits

RESOURCES = {
    "memory": {"limit": 67108864, "swap": 134217728},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"},
    "pids": {"limit": 7},
}


def test_the_same_limits_in_each_versions_terms() -> None:
    assert limits.for_v2(RESOURCES) == {
        "cpu": [("cpu.weight", "59"), ("cpu.max", "50000 100000")],
        "cpuset": [("cpuset.cpus", "0-1")],
        "memory": [("memory.max", "67108864"), ("memory.swap.max", "67108864")],
        "pids": [("pids.max", "7")],
    }
    assert limits.for_v1(RESOURCES) == {
        "cpu": [("cpu.shares", "512"), ("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
        "cpuset": [("cpuset.cpus", "0-1")],
        "memory": [("memory.limit_in_bytes", "67108864"), ("memory.memsw.limit_in_bytes", "134217728")],
        "pids": [("pids.max", "7")],
    }


def test_no_limit_is_minus_one_in_the_specification_and_max_in_v2() -> None:
    nothing = {"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}
    assert limits.for_v2(nothing) == {
        "cpu": [("cpu.max", "max 100000")],
        "memory": [("memory.max", "max"), ("memory.swap.max", "max")],
        "pids": [("pids.max", "max")],
    }
    assert limits.for_v1(nothing)["cpu"] == [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1")]
    assert limits.for_v1(nothing)["pids"] == [("pids.max", "max")]


def test_nothing_asked_for_nothing_set() -> None:
    assert limits.for_v2({}) == {}
    assert limits.for_v1({}) == {}
    assert limits.for_v1({"cpu": {}, "devices": ("a *:* rwm",)}) == {}


@pytest.mark.parametrize(("shares", "weight"), [(0, 1), (2, 1), (1024, 100), (262144, 10000), (999999, 10000)])
def test_both_ends_and_the_default_of_shares_are_those_of_weight(shares: int, weight: int) -> None:
    assert limits.weight(shares) == weight


def test_more_shares_are_never_less_weight() -> None:
    weights = [limits.weight(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)


@pytest.mark.parametrize(("both", "memory", "alone"), [(100, 60, 40), (60, 60, 0), (-1, 60, -1), (-1, -1, -1)])
def test_v2_limits_swap_alone(both: int, memory: int, alone: int) -> None:
    assert limits.swap_alone(both, memory) == alone


def test_what_is_not_changed_stays() -> None:
    before = {"cpu": {"quota": 1, "period": 2}, "pids": {"limit": 3}}
    assert limits.merged(before, {"cpu": {"quota": 4}}) == {"cpu": {"quota": 4, "period": 2}, "pids": {"limit": 3}}
    assert before["cpu"] == {"quota": 1, "period": 2}
