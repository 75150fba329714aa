from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit import log
from labkit.errors import ConfigError, ConflictError, NotFoundError
from labkit.runtime.cgroups import freezer, group, statistics
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import MakeGroup


@pytest.fixture
def v2(tmp_path: Path) -> Hierarchies:
    """A tree with one group in it, as files."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    made = tmp_path / "labkit/abc"
    made.mkdir(parents=True)
    (made / "cgroup.controllers").write_text("cpu memory pids\n")
    (made / "cpu.max").write_text("50000 100000\n")
    (made / "pids.max").write_text("7\n")
    return Hierarchies(v2=str(tmp_path))


@pytest.fixture
def v1(tmp_path: Path) -> Hierarchies:
    """Three trees with one group in each."""
    files = {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000", "pids/pids.max": "max"}
    files |= {"memory/memory.limit_in_bytes": "1000", "memory/memory.memsw.limit_in_bytes": "2000"}
    for name, text in files.items():
        path = tmp_path / Path(name).parent / "labkit/abc" / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return Hierarchies(v1={name: str(tmp_path / name) for name in ("cpu", "pids", "memory")})


def test_v2_hands_down_the_controllers_that_the_kernel_has(v2: Hierarchies) -> None:
    plan = group.plan("/labkit/abc", {"pids": {"limit": 7}}, v2)
    assert [operation.describe() for operation in plan] == [
        f"echo '+cpu +memory +pids' > {v2.v2}/cgroup.subtree_control",
        f"mkdir -p {v2.v2}/labkit/abc",
        f"echo '+cpu +memory +pids' > {v2.v2}/labkit/cgroup.subtree_control",
        f"echo 7 > {v2.v2}/labkit/abc/pids.max",
    ]


def test_v2_hands_down_cpuset_only_where_it_is_asked_for(v2: Hierarchies) -> None:
    plan = group.plan("/labkit/abc", {"cpu": {"cpus": "0"}}, v2)
    assert plan[0].describe() == f"echo '+cpu +memory +pids +cpuset' > {v2.v2}/cgroup.subtree_control"
    assert plan[-1].describe() == f"echo 0 > {v2.v2}/labkit/abc/cpuset.cpus"


def test_v1_makes_a_group_in_every_tree_once() -> None:
    hierarchies = Hierarchies(v1={"cpu": "/c/cpu,cpuacct", "cpuacct": "/c/cpu,cpuacct", "pids": "/c/pids"})
    assert group.directories("/labkit/abc", hierarchies) == ["/c/cpu,cpuacct/labkit/abc", "/c/pids/labkit/abc"]
    made = [operation.describe() for operation in group.plan("/labkit/abc", {}, hierarchies)]
    assert made == ["mkdir -p /c/cpu,cpuacct/labkit/abc", "mkdir -p /c/pids/labkit/abc"]


def test_a_limit_whose_controller_is_not_there_is_an_error_and_not_ignored(v2: Hierarchies) -> None:
    v1 = Hierarchies(v1={"pids": "/c/pids"})
    with pytest.raises(NotFoundError, match="no memory controller on cgroup v1"):
        group.plan("/labkit/abc", {"memory": {"limit": 1}}, v1)
    with pytest.raises(NotFoundError, match="no devices controller on cgroup v1"):
        group.plan("/labkit/abc", {"devices": ("c 1:3 rwm",)}, v1)
    Path(v2.v2, "cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(NotFoundError, match="no memory controller on cgroup v2"):
        group.plan("/labkit/abc", {"memory": {"limit": 1}}, v2)
    with pytest.raises(NotFoundError, match="no cgroups are mounted on this machine, so the limit of pids"):
        group.plan("/labkit/abc", {"pids": {"limit": 1}}, Hierarchies())
    assert group.plan("/labkit/abc", {}, Hierarchies()) == []


def test_on_hybrid_the_second_tree_serves_what_the_first_has_not(v2: Hierarchies) -> None:
    hybrid = Hierarchies(v1={"cpu": "/c/cpu", "pids": "/c/pids"}, v2=v2.v2)
    wanted = {"cpu": {"shares": 512, "cpus": "0"}, "memory": {"limit": 4096}, "pids": {"limit": 9}}
    assert [operation.describe() for operation in group.plan("/labkit/new", wanted, hybrid)] == [
        "mkdir -p /c/cpu/labkit/new",
        "mkdir -p /c/pids/labkit/new",
        "echo 512 > /c/cpu/labkit/new/cpu.shares",
        "echo 9 > /c/pids/labkit/new/pids.max",
        f"echo '+memory +cpuset' > {v2.v2}/cgroup.subtree_control",
        f"mkdir -p {v2.v2}/labkit/new",
        f"echo '+memory +cpuset' > {v2.v2}/labkit/cgroup.subtree_control",
        f"echo 0 > {v2.v2}/labkit/new/cpuset.cpus",
        f"echo 4096 > {v2.v2}/labkit/new/memory.max",
    ]
    assert group.directories("/x", hybrid) == ["/c/cpu/x", "/c/pids/x", f"{v2.v2}/x"]
    assert [change.describe() for change in group.change("/labkit/abc", {"memory": {"limit": 1}}, hybrid)] == [
        f"echo 1 > {v2.v2}/labkit/abc/memory.max"
    ]


def test_a_deep_group_takes_those_parents_with_it_that_it_made(v2: Hierarchies) -> None:
    made = [operation for operation in group.plan("/labkit/abc/deep/er", {}, v2) if isinstance(operation, MakeGroup)]
    assert made == [MakeGroup(f"{v2.v2}/labkit/abc/deep/er", (f"{v2.v2}/labkit/abc/deep",))]
    made[0].do()
    made[0].undo()
    assert Path(v2.v2, "labkit/abc").is_dir()
    assert not Path(v2.v2, "labkit/abc/deep").exists()
    (engines,) = [each for each in group.plan("/labkit/new", {}, v2) if isinstance(each, MakeGroup)]
    assert engines.parents == (f"{v2.v2}/labkit",)


def test_a_group_that_is_in_use_or_frozen_is_nobodys_new_one(v2: Hierarchies) -> None:
    group.plan("/labkit/abc", {}, v2)  # empty: as podman makes it for a pod
    procs = Path(v2.v2, "labkit/abc/cgroup.procs")
    procs.write_text("12\n13\n")
    with pytest.raises(ConflictError, match=r"cgroup is not empty: 2 process\(es\) found in /labkit/abc"):
        group.plan("/labkit/abc", {}, v2)
    procs.write_text("")
    Path(v2.v2, "labkit/abc/cgroup.freeze").write_text("1\n")
    with pytest.raises(ConflictError, match="unexpectedly frozen"):
        group.plan("/labkit/abc", {}, v2)


def test_less_memory_than_is_used_is_refused_where_that_is_asked_for(v2: Hierarchies) -> None:
    Path(v2.v2, "labkit/abc/memory.current").write_text("5000\n")
    Path(v2.v2, "labkit/abc/memory.max").write_text("max\n")
    wanted: dict[str, Any] = {"memory": {"limit": 4096}}
    assert group.change("/labkit/abc", wanted, v2)
    wanted["memory"]["checkBeforeUpdate"] = True
    with pytest.raises(ConflictError, match="rejecting memory limit 4096 <= usage 5000"):
        group.change("/labkit/abc", wanted, v2)


def test_a_limit_of_one_disk_is_taken_back_alone(v2: Hierarchies) -> None:
    Path(v2.v2, "cgroup.controllers").write_text("io\n")
    place = Path(v2.v2, "labkit/abc")
    (place / "cgroup.controllers").write_text("io\n")
    (place / "io.max").write_text("8:16 rbps=1 wbps=max riops=max wiops=max\n")
    wanted = {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": n, "rate": 7} for n in (0, 16)]}}
    assert [getattr(change, "before", "") for change in group.change("/labkit/abc", wanted, v2)] == [
        "8:0 rbps=max",
        "8:16 rbps=1 wbps=max riops=max wiops=max",
    ]


def test_what_runc_ignores_is_told(v2: Hierarchies) -> None:
    told: list[dict[str, Any]] = []
    stop = log.listen(told.append)
    try:
        group.plan("/labkit/new", {"memory": {"swappiness": 3, "kernel": 5, "disableOOMKiller": False}}, v2)
    finally:
        stop()
    assert [event["message"].partition(" has no effect")[0] for event in told] == [
        "linux.resources.memory.kernel",
        "linux.resources.memory.swappiness",
    ]


def test_unified_names_the_controller_that_is_not_there(v2: Hierarchies) -> None:
    with pytest.raises(NotFoundError, match=r'"hugetlb\.2MB\.max" can\'t be set: controller "hugetlb" not available'):
        group.plan("/labkit/new", {"unified": {"hugetlb.2MB.max": "1"}}, v2)
    plan = group.plan("/labkit/new", {"unified": {"cgroup.max.depth": "3", "memory.high": "9"}}, v2)
    assert [operation.describe().rpartition("/")[2] for operation in plan[-2:]] == ["cgroup.max.depth", "memory.high"]
    with pytest.raises(ConfigError, match="cannot use unified on cgroup v1"):
        group.plan("/labkit/new", {"unified": {"memory.high": "9"}}, Hierarchies(v1={"memory": "/c/memory"}))


def test_devices_can_be_filtered_where_v1_has_the_controller_and_on_v2() -> None:
    assert group.filters_devices(Hierarchies(v1={"devices": "/c/devices"}))
    assert not group.filters_devices(Hierarchies(v1={"pids": "/c/pids"}))
    assert group.filters_devices(Hierarchies(v1={"pids": "/c/pids"}, v2="/c/unified"))
    assert group.filters_devices(Hierarchies(v2="/c"))
    assert not group.filters_devices(Hierarchies())


def test_a_change_writes_what_differs_and_knows_the_way_back(v2: Hierarchies) -> None:
    wanted = {"cpu": {"quota": 25000, "period": 100000}, "pids": {"limit": 7}}
    (change,) = group.change("/labkit/abc", wanted, v2)
    assert change.describe() == f"echo '25000 100000' > {v2.v2}/labkit/abc/cpu.max"
    change.do()
    assert Path(v2.v2, "labkit/abc/cpu.max").read_text()[:12] == "25000 100000"
    change.undo()
    assert Path(v2.v2, "labkit/abc/cpu.max").read_text()[:12] == "50000 100000"
    assert group.change("/labkit/abc", {"cpu": {"cpus": "1"}}, v2)[0].describe().endswith("subtree_control")


@pytest.mark.parametrize(
    ("memory", "both", "order"),
    [(500, 900, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
     (3000, 4000, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
     (3000, -1, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"])],
)  # fmt: skip
def test_on_v1_what_grows_is_written_first(v1: Hierarchies, memory: int, both: int, order: list[str]) -> None:
    changes = group.change("/labkit/abc", {"memory": {"limit": memory, "swap": both}}, v1)
    assert [change.describe().rpartition("/")[2] for change in changes] == order


def test_a_group_is_paused_when_its_file_says_so(v2: Hierarchies) -> None:
    assert not freezer.is_frozen("/labkit/abc", v2), "it has no such file"
    Path(v2.v2, "labkit/abc/cgroup.freeze").write_text("1\n")
    assert freezer.is_frozen("/labkit/abc", v2)
    assert freezer.operation("/labkit/abc", v2, False).describe() == f"echo 0 > {v2.v2}/labkit/abc/cgroup.freeze"
    with pytest.raises(NotFoundError, match="no freezer controller on cgroup v1, so it cannot be paused"):
        freezer.operation("/labkit/abc", Hierarchies(v1={"pids": "/c/pids"}), True)
    there = Hierarchies(v1={"freezer": "/c/freezer"})
    assert freezer.operation("/l/a", there, True).describe() == "echo FROZEN > /c/freezer/l/a/freezer.state"
    assert not freezer.is_frozen("/l/a", there)


def test_usage_is_what_the_machine_counts(v2: Hierarchies) -> None:
    place = Path(v2.v2, "labkit/abc")
    (place / "cpu.stat").write_text("usage_usec 15\nnr_throttled 2\nthrottled_usec 7\n")
    (place / "memory.current").write_text("5000\n")
    (place / "memory.max").write_text("max\n")
    (place / "memory.stat").write_text("anon 1\ninactive_file 1000\n")
    assert statistics.in_short("/labkit/abc", v2) == {
        "cpu_nanoseconds": 15000,
        "throttled_periods": 2,
        "throttled_nanoseconds": 7000,
        "memory_bytes": 4000,
    }
    assert statistics.in_short("/labkit/none", v2) == {}
