from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConfigError
from labkit.runtime.cgroups import limits, rarelimits

RESOURCES = {
    "memory": {"limit": 67108864, "swap": 134217728},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"},
    "pids": {"limit": 7},
}


def written(settings: limits.Settings) -> dict[str, list[tuple[str, str]]]:
    """File and value alone."""
    return {name: [(each.name, each.value) for each in found] for name, found in settings.items()}


def test_the_same_limits_in_each_versions_terms() -> None:
    assert written(limits.for_v2(RESOURCES)) == {
        "cpu": [("cpu.weight", "59"), ("cpu.max", "50000 100000")],
        "cpuset": [("cpuset.cpus", "0-1")],
        "memory": [("memory.swap.max", "67108864"), ("memory.max", "67108864")],
        "pids": [("pids.max", "7")],
    }
    assert written(limits.for_v1(RESOURCES)) == {
        "cpu": [("cpu.shares", "512"), ("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
        "cpuset": [("cpuset.cpus", "0-1")],
        "memory": [("memory.limit_in_bytes", "67108864"), ("memory.memsw.limit_in_bytes", "134217728")],
        "pids": [("pids.max", "7")],
    }


def test_no_limit_is_minus_one_in_the_specification_and_max_in_v2() -> None:
    nothing = {"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}
    assert written(limits.for_v2(nothing)) == {
        "cpu": [("cpu.max", "max 100000")],
        "memory": [("memory.swap.max", "max"), ("memory.max", "max")],
        "pids": [("pids.max", "max")],
    }
    assert written(limits.for_v1(nothing))["cpu"] == [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1")]
    assert written(limits.for_v1(nothing))["pids"] == [("pids.max", "max")]


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


@pytest.mark.parametrize(
    ("both", "memory", "alone"),
    [(100, 60, 40), (60, 60, 0), (-1, 60, -1), (-1, -1, -1), (0, 60, None), (0, -1, -1), (0, 0, None)],
)
def test_v2_limits_swap_alone(both: int, memory: int, alone: int | None) -> None:
    assert limits.swap_alone(both, memory) == alone


@pytest.mark.parametrize(("both", "memory"), [(50, 60), (50, 0), (50, -1)])
def test_swap_that_cannot_be_meant_is_refused(both: int, memory: int) -> None:
    with pytest.raises(ConfigError, match=r"linux\.resources\.memory\.swap"):
        limits.swap_alone(both, memory)


def test_the_rest_of_cpu_and_memory() -> None:
    cpu = {"period": 50000, "burst": 10, "idle": 1, "mems": "0", "realtimeRuntime": 5, "realtimePeriod": 9}
    memory = {"reservation": 7, "swappiness": 0, "disableOOMKiller": True, "useHierarchy": True}
    resources = {"cpu": cpu, "memory": memory}
    assert written(limits.for_v1(resources)) == {
        "cpu": [
            ("cpu.rt_period_us", "9"),
            ("cpu.rt_runtime_us", "5"),
            ("cpu.cfs_period_us", "50000"),
            ("cpu.cfs_burst_us", "10"),
            ("cpu.idle", "1"),
        ],
        "cpuset": [("cpuset.mems", "0")],
        "memory": [
            ("memory.use_hierarchy", "1"),
            ("memory.soft_limit_in_bytes", "7"),
            ("memory.oom_control", "1"),
            ("memory.swappiness", "0"),
        ],
    }
    assert written(limits.for_v2(resources)) == {
        "cpu": [("cpu.idle", "1"), ("cpu.max", "max 50000"), ("cpu.max.burst", "10")],
        "cpuset": [("cpuset.mems", "0")],
        "memory": [("memory.low", "7")],
    }
    assert limits.ignored(resources, "v1") == []
    assert limits.ignored(resources, "v2") == [
        "memory.disableOOMKiller",
        "cpu.realtimeRuntime",
        "cpu.realtimePeriod",
    ]


@pytest.mark.parametrize(
    ("shares", "words"),
    [(1, "the minimum allowed cpu-shares is 2"), (262145, "the maximum allowed cpu-shares is 2621")],
)
def test_v1_refuses_shares_that_the_kernel_would_change_silently(shares: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        limits.for_v1({"cpu": {"shares": shares}})
    assert written(limits.for_v2({"cpu": {"shares": shares}})), "they become a weight there"


def test_zero_is_not_set_as_with_runc() -> None:
    zero = {"memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0}, "pids": {"limit": 0}}
    assert limits.for_v1(zero) == limits.for_v2(zero) == {}


def test_disks_pages_networks_and_rdma() -> None:
    device = {"major": 8, "minor": 0}
    resources = {
        "blockIO": {
            "weight": 500,
            "weightDevice": [{**device, "weight": 100}],
            "throttleReadBpsDevice": [{**device, "rate": 600}],
            "throttleWriteIOPSDevice": [{**device, "rate": 0}],
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}},
    }
    network = {"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}]}}
    assert written(limits.for_v1({**resources, **network})) == {
        "blkio": [
            ("blkio.weight", "500"),
            ("blkio.weight_device", "8:0 100"),
            ("blkio.throttle.read_bps_device", "8:0 600"),
            ("blkio.throttle.write_iops_device", "8:0 0"),
        ],
        "hugetlb": [("hugetlb.2MB.limit_in_bytes", "4194304"), ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304")],
        "net_cls": [("net_cls.classid", "1048577")],
        "net_prio": [("net_prio.ifpriomap", "lo 5")],
        "rdma": [("rdma.max", "mlx5_1 hca_handle=3 hca_object=10")],
    }
    found = limits.for_v2(resources)
    assert [(each.name, each.value, each.other) for each in found["io"]] == [
        ("io.bfq.weight", "500", ("io.weight", "default 4950")),
        ("io.bfq.weight", "8:0 100", ("io.weight", "8:0 910")),
        ("io.max", "8:0 rbps=600", ()),
        ("io.max", "8:0 wiops=max", ()),
    ]
    assert written(found)["hugetlb"] == [("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")]
    with pytest.raises(ConfigError, match=r"linux\.resources\.network cannot be set on cgroup v2"):
        limits.for_v2(network)


@pytest.mark.parametrize(("v1", "v2"), [(10, 1), (500, 4950), (1000, 10000)])
def test_a_disks_weight(v1: int, v2: int) -> None:
    assert rarelimits.io_weight(v1) == v2


def test_what_is_not_changed_stays() -> None:
    before = {"cpu": {"quota": 1, "period": 2}, "pids": {"limit": 3}}
    assert limits.merged(before, {"cpu": {"quota": 4}}) == {"cpu": {"quota": 4, "period": 2}, "pids": {"limit": 3}}
    assert before["cpu"] == {"quota": 1, "period": 2}


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({"cpu": {"period": 9}}, {"cpu": {"period": 9, "quota": 1}}),
        ({"cpu": {"quota": 9}}, {"cpu": {"period": 2, "quota": 9}}),
        ({"cpu": {"shares": 9}}, {"cpu": {"shares": 9}}),
        ({"memory": {"swap": 9}}, {"memory": {"swap": 9, "limit": 3}}),
        ({"memory": {"limit": 9}}, {"memory": {"limit": 9}}),
        ({"pids": {"limit": 9}}, {"pids": {"limit": 9}}),
    ],
)
def test_an_update_says_what_belongs_together(wanted: dict[str, Any], changed: dict[str, Any]) -> None:
    before = {"cpu": {"quota": 1, "period": 2}, "memory": {"limit": 3, "swap": 4}, "pids": {"limit": 5}}
    assert limits.to_change(before, wanted) == changed
    assert limits.to_change({}, wanted) == wanted


@given(shares=st.integers(0, (1 << 64) - 1), quota=st.integers(-1, 1 << 62), period=st.integers(0, 1 << 32))
def test_whatever_is_asked_of_the_processors_is_a_line_for_the_kernel(shares: int, quota: int, period: int) -> None:
    found = written(limits.for_v2({"cpu": {"shares": shares, "quota": quota, "period": period}})).get("cpu", [])
    for name, value in found:
        if name == "cpu.weight":
            assert 1 <= int(value) <= 10000
        else:
            first, second = value.split()
            assert first == "max" or int(first) > 0
            assert int(second) > 0


@given(limit=st.integers(-1, 1 << 62), swap=st.integers(-1, 1 << 62))
def test_v1_and_v2_refuse_the_same_or_say_the_same(limit: int, swap: int) -> None:
    memory = {"memory": {"limit": limit, "swap": swap}}
    try:
        found = dict(written(limits.for_v2(memory)).get("memory", []))
    except ConfigError:
        return
    first = dict(written(limits.for_v1(memory)).get("memory", []))
    assert found.get("memory.max", "0") == ("max" if limit == -1 else str(limit))
    if swap > 0:
        assert int(found["memory.swap.max"]) + limit == int(first["memory.memsw.limit_in_bytes"])
