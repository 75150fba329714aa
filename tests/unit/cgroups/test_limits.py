from __future__ import annotations

from labkit.cgroups import limits

RESOURCES = {"memory": {"limit": 67108864}, "cpu": {"quota": 50000, "period": 100000}, "pids": {"limit": 7}}


def test_the_same_limits_in_each_versions_terms() -> None:
    assert limits.for_v2(RESOURCES) == [("memory.max", "67108864"), ("cpu.max", "50000 100000"), ("pids.max", "7")]
    assert limits.for_v1(RESOURCES) == {
        "memory": [("memory.limit_in_bytes", "67108864")],
        "cpu": [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
        "pids": [("pids.max", "7")],
    }


def test_no_limit_is_minus_one_in_the_specification_and_max_in_the_kernel() -> None:
    assert limits.for_v2({"memory": {"limit": -1}, "cpu": {"quota": -1}}) == [
        ("memory.max", "max"),
        ("cpu.max", "max 100000"),
    ]


def test_nothing_asked_for_nothing_set() -> None:
    assert limits.for_v2({}) == []
    assert limits.for_v1({}) == {}
