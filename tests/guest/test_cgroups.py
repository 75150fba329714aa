"""Limits, devices, pausing and usage, on whichever cgroup version this machine has, read where the kernel keeps
them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import labkit, processes, wait_for
from groups import HERE, has, needs, on_v2
from programs import LABKIT

pytestmark = pytest.mark.machine

SLEEP = ("busybox", "sleep", "1000")
BUSY = ("busybox", "sh", "-c", "while :; do :; done")


def start(*words: str, name: str = "box", command: tuple[str, ...] = SLEEP) -> dict[str, Any]:
    labkit("run", "-d", "--network", "none", "--name", name, *words, *command)
    (known,) = json.loads(labkit("inspect", name).stdout)
    return dict(known)


def group_of(known: dict[str, Any], controller: str) -> Path:
    point = HERE.v2 if on_v2(controller) else HERE.v1[controller]
    return Path(point, "labkit", known["id"])


def value(known: dict[str, Any], controller: str, v1: str, v2: str) -> str:
    return (group_of(known, controller) / (v2 if on_v2(controller) else v1)).read_text().strip()


def processor_time(known: dict[str, Any]) -> float:
    """Seconds of processor time that its first process has used (proc(5))."""
    fields = Path(f"/proc/{known['state']['pid']}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_group_is_in_every_tree_with_the_containers_process() -> None:
    known = start()
    points = {HERE.v2, *HERE.v1.values()} - {""}
    for point in points:
        assert str(known["state"]["pid"]) in Path(point, "labkit", known["id"], "cgroup.procs").read_text().split()
    labkit("stop", "-t", "0", "box")
    assert not [point for point in points if Path(point, "labkit", known["id"]).exists()]


@needs("cpu")
def test_processor_limits() -> None:
    known = start("--cpus", "0.5", "--cpu-shares", "512")
    if on_v2("cpu"):
        assert value(known, "cpu", "", "cpu.max") == "50000 100000"
        assert value(known, "cpu", "", "cpu.weight") == "59"
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares")
        assert [value(known, "cpu", name, "") for name in names] == ["50000", "100000", "512"]


@needs("cpuset")
def test_the_processors_are_those_that_were_named() -> None:
    known = start("--cpuset-cpus", "0")
    assert value(known, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    status = Path(f"/proc/{known['state']['pid']}/status").read_text()
    assert "Cpus_allowed_list:\t0\n" in status


@needs("memory")
def test_a_process_over_its_memory_limit_is_killed() -> None:
    known = start("--memory", "16m")
    assert value(known, "memory", "memory.limit_in_bytes", "memory.max") == str(16 << 20)
    # The kernel may choose the container's first process, which takes all others with it; what is open stays.
    shm = os.open(f"/proc/{known['state']['pid']}/root/dev/shm", os.O_PATH)
    # /dev/shm is memory of whoever writes to it (cgroup-v2.rst, "Memory Ownership"), here without swap.
    filled = labkit("exec", "box", "sh", "-c", "head -c 40000000 /dev/zero > /dev/shm/full", check=False)
    assert filled.returncode in (1, 137)
    assert os.stat("full", dir_fd=shm).st_size < 20 << 20
    os.close(shm)


@needs("memory")
def test_a_death_for_want_of_memory_is_told() -> None:
    began = time.time()
    fill = ["sh", "-c", "head -c 40000000 /dev/zero > /dev/shm/full"]
    labkit("run", "--network", "none", "--name", "box", "--memory", "16m", "busybox", *fill, check=False)
    (known,) = json.loads(labkit("inspect", "box").stdout)
    assert known["state"]["oom_killed"] is known["State"]["OOMKilled"] is True
    told = labkit("events", "--since", f"{began}", "--until", "0s", "--format", "{{.action}}").stdout.split()
    assert told == ["create", "start", "oom", "die"]
    labkit("rm", "box")
    labkit("run", "--network", "none", "--name", "box", "--memory", "16m", "busybox", "true")
    assert json.loads(labkit("inspect", "box").stdout)[0]["state"]["oom_killed"] is False


@needs("memory")
def test_swap_is_limited_where_the_kernel_can() -> None:
    words = ("run", "-d", "--network", "none", "--name", "box", "--memory", "16m", "--memory-swap", "24m")
    done = labkit(*words, *SLEEP, check=False)
    if done.returncode:
        missing = "memory.swap.max" if on_v2("memory") else "memory.memsw.limit_in_bytes"
        assert f"this machine's cgroups have no {missing}" in done.stderr
        assert not labkit("ps", "-aq").stdout
        return
    (known,) = json.loads(labkit("inspect", "box").stdout)
    assert value(known, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max") == str(
        (8 if on_v2("memory") else 24) << 20
    )


@needs("pids")
def test_a_fork_beyond_the_limit_fails() -> None:
    start("--pids-limit", "3")
    many = labkit("exec", "box", "sh", "-c", "for i in 1 2 3 4 5; do sleep 5 & done; echo never", check=False)
    assert many.returncode != 0
    assert "fork" in many.stderr


@pytest.mark.parametrize("controller", ["memory", "cpuset", "pids", "cpu"])
def test_a_limit_without_its_controller_is_refused_by_name(controller: str) -> None:
    if has(controller):
        pytest.skip(f"this machine has the controller {controller}")
    flags = {"memory": "--memory=64m", "cpuset": "--cpuset-cpus=0", "pids": "--pids-limit=9", "cpu": "--cpus=1"}
    refused = labkit("run", "--rm", "--network", "none", flags[controller], "busybox", "true", check=False)
    assert refused.returncode == 125
    version = "v1" if HERE.v1 else "v2"
    assert f"this machine has no {controller} controller on cgroup {version}" in refused.stderr
    assert labkit("run", "--rm", "--network", "none", "busybox", "echo", "fine").stdout == "fine\n"


def test_a_device_that_is_not_allowed_can_be_made_and_not_opened() -> None:
    """/dev/kmsg (1:11), which every kernel has and root may read; and, where there is one, the disk of the root."""
    known = start()
    disk = os.stat("/").st_dev
    nodes = {"kmsg": ("c", 1, 11), "disk": ("b", os.major(disk), os.minor(disk))}
    for name, (kind, major, minor) in nodes.items():
        labkit("exec", "box", "mknod", f"/{name}", kind, str(major), str(minor))
        inside = labkit("exec", "box", "head", "-c", "1", f"/{name}", check=False)
        assert "Operation not permitted" in inside.stderr, name
        assert "Operation not permitted" in labkit("exec", "box", "sh", "-c", f": > /{name}", check=False).stderr
    # It is the group that is kept from it: the same node in the same mount namespace, opened by a process out here.
    join = ["nsenter", "--mount", "--target", str(known["state"]["pid"])]
    outside = subprocess.run([*join, "head", "-c", "0", "/kmsg"], capture_output=True, text=True, check=False)
    assert (outside.returncode, outside.stderr) == (0, "")


def test_devices_that_every_container_has_work() -> None:
    script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 2 /dev/urandom | wc -c && ls /dev/pts/ptmx"
    done = labkit("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    assert done.stdout == "3\n2\n/dev/pts/ptmx\n"
    assert "No space left" in labkit("run", "--rm", "busybox", "sh", "-c", "echo x > /dev/full", check=False).stderr


def test_a_paused_container_makes_no_progress_and_goes_on() -> None:
    known = start(command=BUSY)
    labkit("pause", "box")
    before = processor_time(known)
    time.sleep(1)
    assert processor_time(known) == before
    (listed,) = json.loads(labkit("ps", "--json").stdout)
    assert listed["state"]["status"] == "paused"
    assert "(Paused)" in labkit("ps").stdout
    for words in (["pause", "box"], ["exec", "box", "true"], ["rm", "box"]):
        refused = labkit(*words, check=False)
        assert "is paused" in refused.stderr, words
    assert labkit("stats", "--json", "box").returncode == 0
    labkit("unpause", "box")
    assert wait_for(lambda: processor_time(known) > before)
    assert "is not paused" in labkit("unpause", "box", check=False).stderr


def test_stop_is_heard_by_a_paused_container() -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    start(command=("busybox", "sh", "-c", script))
    assert wait_for(lambda: labkit("logs", "box").stdout == "ready\n")
    labkit("pause", "box")
    labkit("stop", "box")
    assert labkit("logs", "box").stdout == "ready\nbye\n"
    (listed,) = json.loads(labkit("ps", "-a", "--json").stdout)
    assert listed["state"]["exit_code"] == 3


def test_a_paused_container_is_removed_by_force_and_by_gc() -> None:
    start()
    labkit("pause", "box")
    labkit("rm", "-f", "box")
    start(name="orphan")
    labkit("pause", "orphan")
    for line in subprocess.run(
        ["ps", "-eo", "pid,comm"], capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if "labkit-shim" in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)
    labkit("gc")
    assert wait_for(lambda: not processes())
    assert "Exited (137)" in labkit("ps", "-a").stdout


@needs("cpu")
@needs("pids")
def test_update_changes_the_files_and_the_record() -> None:
    known = start("--cpus", "0.5", "--pids-limit", "9")
    labkit("update", "--cpus", "0.25", "--pids-limit", "-1", "box")
    assert value(known, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    assert value(known, "pids", "pids.max", "pids.max") == "max"
    (later,) = json.loads(labkit("inspect", "box").stdout)
    resources = later["specification"]["linux"]["resources"]
    assert resources["cpu"] == {"quota": 25000, "period": 100000}
    assert resources["pids"] == {"limit": -1}
    assert resources["devices"] == known["specification"]["linux"]["resources"]["devices"]


@needs("cpu")
@needs("cpuset")
def test_a_refused_update_changes_nothing() -> None:
    known = start("--cpus", "0.5")
    # The quota is written first, then processors that this machine does not have.
    refused = labkit("update", "--cpus", "0.25", "--cpuset-cpus", "4000", "box", check=False)
    assert refused.returncode == 9
    assert "cpuset.cpus" in refused.stderr
    assert value(known, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    (later,) = json.loads(labkit("inspect", "box").stdout)
    assert later["specification"] == known["specification"]
    assert not os.listdir("/run/labkit/updates")


@needs("cpu")
def test_an_update_that_was_killed_is_taken_back() -> None:
    known = start("--cpus", "0.5")
    killer = Path(__file__).parent / "dies_after.py"
    words = ["command", "1", "update", "--cpus", "0.25", "box"]
    assert subprocess.run([sys.executable, str(killer), *words], check=False).returncode == -signal.SIGKILL
    assert value(known, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    labkit("gc")
    assert value(known, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert not os.listdir("/run/labkit/updates")
    assert labkit("ps", "-q").stdout, "gc took the container itself for an orphan"


def test_update_is_checked() -> None:
    start()
    assert "no limit is given" in labkit("update", "box", check=False).stderr
    assert labkit("update", "--pids-limit", "7", "nobody", check=False).returncode == 4
    labkit("stop", "-t", "0", "box")
    assert "is not running" in labkit("update", "--pids-limit", "7", "box", check=False).stderr


def test_stats_are_the_kernels() -> None:
    known = start("--cpus", "0.5", command=BUSY)
    (sample,) = json.loads(labkit("stats", "--no-stream", "--json").stdout)
    assert sample["name"] == "box"
    assert 0 < sample["cpu_percent"] < 75
    assert sample["cpu_nanoseconds"] <= processor_time(known) * 1e9 + 1e9
    if has("pids"):
        assert sample["pids"] == 1
    if has("memory"):
        assert 0 < sample["memory_bytes"] < 16 << 20
    assert sample["throttled_periods"] is not None
    head, row = labkit("stats", "box").stdout.splitlines()
    assert head.split()[:2] == ["CONTAINER", "ID"]
    assert row.startswith(known["id"][:12])
    labkit("stop", "-t", "0", "box")
    assert "is not running" in labkit("stats", "box", check=False).stderr


def test_a_limit_is_explained() -> None:
    start()
    lines = labkit("update", "--explain", "--pids-limit", "9", "box").stderr.splitlines()
    assert [line for line in lines if line.startswith("host") and line.endswith("$ID/pids.max")]
    lines = labkit("pause", "--explain", "box").stderr.splitlines()
    assert [line for line in lines if "freezer.state" in line or "cgroup.freeze" in line]
    assert subprocess.run([*LABKIT, "unpause", "box"], capture_output=True, check=False).returncode == 0
