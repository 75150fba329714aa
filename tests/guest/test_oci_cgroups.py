"""A container's group as the low-level runtime makes it, on whichever cgroup version this machine has: real groups,
real processes in them, and the values read where the kernel keeps them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from groups import GROUP, HERE, MEGABYTE, disk, do, has, needs, offered, on_v2, output, value

from labkit.errors import ConfigError, ConflictError, KernelError, NotFoundError
from labkit.runtime.cgroups import devices, freezer, group, oom, statistics
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.operations import Operation


@pytest.fixture
def make() -> Iterator[Callable[..., Hierarchies]]:
    """Makes the group with limits; whatever the test does then, nothing is left of it and of its parents."""
    done: list[Operation] = []

    def making(resources: dict[str, Any] | None = None, path: str = GROUP) -> Hierarchies:
        for operation in group.plan(path, resources or {}, HERE):
            done.append(operation)
            operation.do()
        return HERE

    yield making
    group.kill("/labkit-tests", HERE)
    for operation in reversed(done):
        operation.undo()
    assert not [place for place in group.directories("/labkit-tests", HERE) if os.path.exists(place)]


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A shell that waits for a line, is in the group by then, and does its script."""
    children: list[subprocess.Popen[str]] = []

    def spawning(script: str, path: str = GROUP) -> subprocess.Popen[str]:
        command = ["sh", "-c", f"read go; {script}"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True)  # fmt: skip
        children.append(child)
        group.add_process(path, child.pid, HERE)
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.close()
        return child

    yield spawning
    for child in children:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


def test_a_nested_group_is_in_every_tree_and_its_parents_go_with_it(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make()
    child = spawn("sleep 1000")
    for line in Path(f"/proc/{child.pid}/cgroup").read_text().splitlines():
        names, path = line.split(":", 2)[1:]
        if not names and not HERE.v2:
            continue  # a v2 tree that is mounted nowhere
        assert path == GROUP, line
    assert child.pid in group.pids("/labkit-tests", HERE)
    if offered() and not HERE.v1:
        counted = Path(f"{HERE.v2}{GROUP}/cgroup.controllers").read_text().split()
        assert {"cpu", "memory", "pids"} <= set(counted)


def test_a_parent_that_others_made_stays(make: Callable[..., Hierarchies]) -> None:
    pod = [f"{place}/pod" for place in group.directories("/labkit-tests", HERE)]
    make()
    for place in pod:
        os.mkdir(place)
    do(created := group.plan("/labkit-tests/pod/one", {}, HERE))
    for operation in reversed(created):
        operation.undo()
    assert all(os.path.isdir(place) for place in pod)
    assert not any(os.path.exists(f"{place}/one") for place in pod)
    for place in pod:
        os.rmdir(place)


def test_groups_that_the_container_made_go_with_its_own(make: Callable[..., Hierarchies]) -> None:
    make()
    for place in group.directories(GROUP, HERE):
        os.makedirs(f"{place}/inner/most")
    group.remove(GROUP, HERE)
    assert not [place for place in group.directories(GROUP, HERE) if os.path.exists(place)]
    group.remove(GROUP, HERE)  # gone is gone


def test_a_group_in_use_is_refused(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make()
    group.plan(GROUP, {}, HERE)  # empty, as a pod's
    spawn("exec sleep 1000")
    with pytest.raises(ConflictError, match=r"cgroup is not empty: 1 process\(es\) found"):
        group.plan(GROUP, {}, HERE)


@needs("freezer" if HERE.v1 and not HERE.v2 else "pids")
def test_a_frozen_group_is_refused_and_dies_when_it_must(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make()
    freezer.operation(GROUP, HERE, True).do()
    with pytest.raises(ConflictError, match="unexpectedly frozen"):
        group.plan(GROUP, {}, HERE)
    freezer.thaw(GROUP, HERE)
    child = spawn("sleep 1000")
    freezer.operation(GROUP, HERE, True).do()
    group.kill(GROUP, HERE)
    assert child.wait(10) < 0
    assert group.pids(GROUP, HERE) == []


@pytest.mark.machine
@pytest.mark.skipif(not HERE.v2, reason="v1 lets processes be in any group")
def test_a_process_finds_a_way_into_a_container_that_has_groups_of_its_own(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make()
    inner = Path(f"{HERE.v2}{GROUP}/init")
    inner.mkdir()
    first = spawn("exec sleep 1000")
    (inner / "cgroup.procs").write_text(str(first.pid))
    controllers = Path(f"{HERE.v2}{GROUP}/cgroup.controllers").read_text().split()
    if not controllers:
        pytest.skip("this tree has no controllers to hand on")
    Path(f"{HERE.v2}{GROUP}/cgroup.subtree_control").write_text(f"+{controllers[0]}")
    second = subprocess.Popen(["sleep", "1000"])
    try:
        *others, door = group.doors(GROUP, HERE, first.pid)
        os.write(door, str(second.pid).encode())
        for each in (*others, door):
            os.close(each)
        assert str(second.pid) in (inner / "cgroup.procs").read_text().split()
    finally:
        second.kill()
        second.wait()


@needs("cpu")
def test_processors(make: Callable[..., Hierarchies]) -> None:
    make({"cpu": {"shares": 512, "quota": 50000, "period": 200000}})
    if on_v2("cpu"):
        assert value("cpu", "", "cpu.max") == "50000 200000"
        assert value("cpu", "", "cpu.weight") == "59"
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares")
        assert [value("cpu", name, "") for name in names] == ["50000", "200000", "512"]
    do(group.change(GROUP, {"cpu": {"quota": -1, "period": 100000}}, HERE))
    assert value("cpu", "cpu.cfs_quota_us", "cpu.max") == ("max 100000" if on_v2("cpu") else "-1")


@needs("cpu")
@pytest.mark.parametrize(
    ("cpu", "v1", "v2", "text"),
    [
        ({"quota": 50000, "burst": 20000}, "cpu.cfs_burst_us", "cpu.max.burst", "20000"),
        ({"idle": 1}, "cpu.idle", "cpu.idle", "1"),
    ],
)
def test_newer_limits_of_processors(
    make: Callable[..., Hierarchies], cpu: dict[str, int], v1: str, v2: str, text: str
) -> None:
    try:
        make({"cpu": cpu})
    except NotFoundError as error:
        assert f"linux.resources.cpu.{[*cpu][-1]} cannot be set" in error.message  # noqa: PT017 - an older kernel
        return
    assert value("cpu", v1, v2) == text


@needs("cpuset")
def test_processors_and_memory_nodes_by_number(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make({"cpu": {"cpus": "0", "mems": "0"}})
    assert "Cpus_allowed_list:\t0\n" in output(spawn("cat /proc/self/status"))
    with pytest.raises(KernelError, match=r"linux\.resources\.cpu\.cpus cannot be set: .*cpuset\.cpus"):
        do(group.change(GROUP, {"cpu": {"cpus": "4000"}}, HERE))


@needs("memory")
def test_memory_in_either_direction(make: Callable[..., Hierarchies]) -> None:
    make({"memory": {"limit": 32 * MEGABYTE, "reservation": 16 * MEGABYTE}})
    assert value("memory", "memory.limit_in_bytes", "memory.max") == str(32 * MEGABYTE)
    assert value("memory", "memory.soft_limit_in_bytes", "memory.low") == str(16 * MEGABYTE)
    swap = ("memory.memsw.limit_in_bytes", "memory.swap.max")
    place = HERE.v2 if on_v2("memory") else HERE.v1["memory"]
    if not os.path.exists(f"{place}{GROUP}/{swap[on_v2('memory')]}"):
        pytest.skip("this kernel counts no swap")
    for limit, both in ((16, 24), (64, 96), (8, 8)):
        wanted = {"memory": {"limit": limit * MEGABYTE, "swap": both * MEGABYTE}}
        do(group.change(GROUP, wanted, HERE))
        assert value("memory", "memory.limit_in_bytes", "memory.max") == str(limit * MEGABYTE)
        alone = both - limit if on_v2("memory") else both
        assert value("memory", *swap) == str(alone * MEGABYTE)
    do(group.change(GROUP, {"memory": {"limit": -1}}, HERE))
    if on_v2("memory"):
        assert (value("memory", "", "memory.max"), value("memory", "", swap[1])) == ("max", "max")
    else:
        assert int(value("memory", "memory.limit_in_bytes", "")) >= 1 << 62


@needs("memory")
def test_v1s_own_switches_of_memory(make: Callable[..., Hierarchies]) -> None:
    make({"memory": {"limit": 32 * MEGABYTE, "swappiness": 7, "disableOOMKiller": True}})  # v2 only tells of them
    if not on_v2("memory"):
        assert value("memory", "memory.swappiness", "") == "7"
        assert "oom_kill_disable 1" in value("memory", "memory.oom_control", "")


@needs("memory")
def test_less_than_is_used_is_refused_where_that_is_asked_for(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make()
    spawn("exec sleep 1000")
    assert wait_for(lambda: statistics.read(GROUP, HERE)["memory"]["usage"]["usage"] > 4096)
    with pytest.raises(ConflictError, match="rejecting memory limit 4096 <= usage"):
        group.change(GROUP, {"memory": {"limit": 4096, "checkBeforeUpdate": True}}, HERE)


@needs("memory")
def test_the_death_of_a_process_for_want_of_memory_is_heard(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make({"memory": {"limit": 16 * MEGABYTE}})
    heard = oom.watch(GROUP, HERE, 0.2)
    assert next(heard) == 0
    child = spawn(f"exec {sys.executable} -S -c 'held = b\"x\" * 64000000'")
    assert wait_for(lambda: next(heard) > 0)
    assert child.wait(10) == -9
    assert statistics.read(GROUP, HERE)["memory"]["usage"]["failcnt"] > 0
    group.remove(GROUP, HERE)
    assert list(heard) == [], "it goes on although the group is gone"


def test_nobody_is_heard_where_there_is_no_group() -> None:
    with pytest.raises(NotFoundError):
        next(oom.watch("/labkit-tests/none", HERE))


@needs("pids")
def test_processes(make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]) -> None:
    make({"pids": {"limit": 3}})
    assert value("pids", "pids.max", "pids.max") == "3"
    assert "ork" in output(spawn("for i in 1 2 3 4 5; do sleep 3 & done; echo never"))
    do(group.change(GROUP, {"pids": {"limit": -1}}, HERE))
    assert value("pids", "pids.max", "pids.max") == "max"


@needs("blkio")
@pytest.mark.skipif(not disk(), reason="no disk that this machine's processes can name")
def test_disks(make: Callable[..., Hierarchies]) -> None:
    major, _, minor = disk().partition(":")
    device = {"major": int(major), "minor": int(minor)}
    kinds = {"throttleReadBpsDevice": 1048576, "throttleWriteIOPSDevice": 100}
    make({"blockIO": {name: [{**device, "rate": rate}] for name, rate in kinds.items()}})
    if on_v2("blkio"):
        assert value("blkio", "", "io.max") == f"{disk()} rbps=1048576 wbps=max riops=max wiops=100"
    else:
        assert value("blkio", "blkio.throttle.read_bps_device", "") == f"{disk()} 1048576"
        assert value("blkio", "blkio.throttle.write_iops_device", "") == f"{disk()} 100"
    (change,) = group.change(GROUP, {"blockIO": {"throttleReadBpsDevice": [{**device, "rate": 7}]}}, HERE)
    change.do()
    assert f"{disk()} " in value("blkio", "blkio.throttle.read_bps_device", "io.max")
    change.undo()
    assert "1048576" in value("blkio", "blkio.throttle.read_bps_device", "io.max")


@needs("blkio")
def test_the_weight_of_a_groups_requests(make: Callable[..., Hierarchies]) -> None:
    try:
        make({"blockIO": {"weight": 500}})
    except NotFoundError as error:  # neither CFQ nor BFQ nor iocost is in this kernel
        assert "linux.resources.blockIO.weight cannot be set" in error.message  # noqa: PT017
        return
    names = ("blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight")
    place = Path(f"{HERE.v2 if on_v2('blkio') else HERE.v1['blkio']}{GROUP}")
    found = [(place / name).read_text().split()[-1] for name in names if (place / name).exists()]
    assert found[0] in ("500", "4950")


@needs("hugetlb")
def test_huge_pages(make: Callable[..., Hierarchies]) -> None:
    sizes = os.listdir("/sys/kernel/mm/hugepages") if os.path.isdir("/sys/kernel/mm/hugepages") else []
    if "hugepages-2048kB" not in sizes:
        pytest.skip("no huge pages of 2 MB")
    make({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MEGABYTE}]})
    assert value("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(4 * MEGABYTE)
    assert statistics.read(GROUP, HERE)["hugetlb"]["2MB"]["usage"] == 0


@pytest.mark.skipif("net_cls" not in HERE.v1 or "net_prio" not in HERE.v1, reason="no network controllers on v1")
def test_network_classes(make: Callable[..., Hierarchies]) -> None:
    make({"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}]}})
    assert value("net_cls", "net_cls.classid", "") == "1048577"
    assert "lo 5" in value("net_prio", "net_prio.ifpriomap", "").splitlines()


@pytest.mark.machine
@pytest.mark.skipif(bool(HERE.v1), reason="v1 has no unified limits")
def test_unified(make: Callable[..., Hierarchies]) -> None:
    make({"unified": {"memory.high": "20000000\n", "cgroup.max.depth": "2", "pids.max": "9"}})
    assert value("memory", "", "memory.high") == str(20000000 // 4096 * 4096)
    assert value("pids", "", "pids.max") == "9"
    with pytest.raises(NotFoundError, match=r'unified resource "memory\.nothing" can\'t be set'):
        do(group.change(GROUP, {"unified": {"memory.nothing": "1"}}, HERE))
    with pytest.raises(KernelError, match=r'unified resource "pids\.max" cannot be set'):
        do(group.change(GROUP, {"unified": {"pids.max": "many"}}, HERE))


@pytest.mark.skipif(not HERE.v1, reason="v2 has them")
def test_unified_is_refused_on_v1() -> None:
    with pytest.raises(ConfigError, match="cannot use unified on cgroup v1"):
        group.plan(GROUP, {"unified": {"memory.high": "1"}}, HERE)


@pytest.mark.skipif(not group.filters_devices(HERE), reason="no device filter on this machine's cgroups")
def test_rules_of_devices_can_be_changed(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    null = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    zero = {"type": "c", "major": 1, "minor": 5, "access": "r"}
    make({"devices": devices.allowed([null])})
    script = (
        "head -c 0 /dev/null && echo null; head -c 0 /dev/zero && echo zero; mknod /dev/null2 c 1 3; rm -f /dev/null2"
    )
    first = output(spawn(script))
    assert "null\n" in first
    assert "zero\n" not in first
    assert "Operation not permitted" in first
    # One more is allowed: what denied it before is gone.
    do(group.change(GROUP, {"devices": devices.allowed([null, {**zero, "allow": True}])}, HERE))
    assert "zero\n" in output(spawn(script))
    # All but one.
    do(group.change(GROUP, {"devices": devices.allowed([{"allow": True}, {**zero, "allow": False}])}, HERE))
    last = output(spawn(script))
    assert "null\n" in last
    assert "zero\n" not in last


def test_statistics_are_the_kernels(
    make: Callable[..., Hierarchies], spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    make({"cpu": {"quota": 20000, "period": 100000}} if has("cpu") else {})
    child = spawn("held=$(head -c 4000000 /dev/zero | tr '\\0' x); echo ready; while :; do :; done")
    assert child.stdout
    assert child.stdout.readline() == "ready\n"

    def busy_and_throttled() -> bool:
        processor = statistics.read(GROUP, HERE)["cpu"]
        return processor["usage"]["total"] > 50_000_000 and processor["throttling"]["throttledPeriods"] > 0

    if has("cpuacct") or has("cpu"):
        assert wait_for(busy_and_throttled)
    found = statistics.read(GROUP, HERE)
    if has("pids"):
        assert found["pids"] == {"current": 1}
    if has("memory"):
        assert 0 < found["memory"]["usage"]["usage"] < 64 * MEGABYTE
        assert found["memory"]["raw"]
    if "cpuset" in HERE.v1:
        assert found["cpuset"]["cpus"][0] == 0
