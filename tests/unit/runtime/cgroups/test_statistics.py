from __future__ import annotations

from pathlib import Path

from labkit.runtime.cgroups import statistics
from labkit.runtime.cgroups.detect import Hierarchies


def write(place: Path, files: dict[str, str]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text)


def test_v2_in_v1s_names_and_units(tmp_path: Path) -> None:
    write(
        tmp_path / "box",
        {
            "cpu.stat": "usage_usec 15\nuser_usec 10\nsystem_usec 5\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n",
            "cpuset.cpus": "\n",
            "cpuset.cpus.effective": "0-1,4\n",
            "memory.current": "5000\n",
            "memory.max": "8000\n",
            "memory.swap.current": "100\n",
            "memory.swap.max": "max\n",
            "memory.stat": "anon 1\nfile 1000\nsock 3\n",
            "memory.events": "low 0\nmax 6\noom_kill 1\n",
            "pids.current": "3\n",
            "pids.max": "max\n",
            "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
            "hugetlb.2MB.current": "2097152\n",
            "hugetlb.2MB.rsvd.current": "0\n",
            "hugetlb.2MB.events": "max 9\n",
        },
    )
    found = statistics.read("/box", Hierarchies(v2=str(tmp_path)))
    assert found["cpu"] == {
        "usage": {"total": 15000, "kernel": 5000, "user": 10000},
        "throttling": {"periods": 4, "throttledPeriods": 2, "throttledTime": 7000},
    }
    assert (found["cpuset"]["cpus"], found["cpuset"]["mems"]) == ([0, 1, 4], [])
    memory = found["memory"]
    assert memory["cache"] == 1000
    assert memory["usage"] == {"limit": 8000, "usage": 5000, "max": 0, "failcnt": 6}
    assert memory["swap"]["usage"] == 5100
    assert memory["swap"]["limit"] == 18446744073709551615, "runc's number for none"
    assert memory["raw"]["file"] == 1000
    assert found["pids"] == {"current": 3}
    assert found["blkio"]["ioServiceBytesRecursive"] == [
        {"major": 8, "minor": 0, "op": "Read", "value": 1},
        {"major": 8, "minor": 0, "op": "Write", "value": 2},
    ]
    assert found["blkio"]["ioServicedRecursive"][1]["value"] == 4
    assert found["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 9}}


def test_v1(tmp_path: Path) -> None:
    write(tmp_path / "cpuacct/box", {"cpuacct.usage": "9\n", "cpuacct.usage_percpu": "4 5 \n",
                                     "cpuacct.stat": "user 2\nsystem 1\n"})  # fmt: skip
    write(tmp_path / "cpu/box", {"cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 7\n"})
    write(tmp_path / "memory/box", {"memory.usage_in_bytes": "5\n", "memory.limit_in_bytes": "8\n",
                                    "memory.failcnt": "3\n", "memory.stat": "cache 2\n"})  # fmt: skip
    write(tmp_path / "pids/box", {"pids.current": "3\n", "pids.max": "7\n"})
    text = "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n"
    write(tmp_path / "blkio/box", {"blkio.throttle.io_service_bytes": text})
    names = ("cpu", "cpuacct", "memory", "pids", "blkio")
    found = statistics.read("/box", Hierarchies(v1={name: str(tmp_path / name) for name in names}))
    usage = found["cpu"]["usage"]
    assert (usage["total"], usage["percpu"], usage["user"], usage["kernel"]) == (9, [4, 5], 20000000, 10000000)
    assert found["cpu"]["throttling"] == {"periods": 4, "throttledPeriods": 2, "throttledTime": 7}
    assert found["memory"]["usage"] == {"limit": 8, "usage": 5, "max": 0, "failcnt": 3}
    assert found["pids"] == {"current": 3, "limit": 7}
    assert [entry["op"] for entry in found["blkio"]["ioServiceBytesRecursive"]] == ["Read", "Write", "Total"]


def test_a_group_that_is_not_there_has_used_nothing(tmp_path: Path) -> None:
    found = statistics.read("/box", Hierarchies(v2=str(tmp_path)))
    assert found["pids"] == {"current": 0, "limit": 0}
    assert found["cpu"]["usage"]["total"] == 0
    assert found["hugetlb"] == {}
