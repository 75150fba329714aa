from __future__ import annotations

from collections.abc import Iterator

from labkit.runtime.cgroups.detect import hierarchies

V2 = "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
V1 = """\
32 24 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
34 32 0:30 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
36 32 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
37 32 0:33 / /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids
"""
BESIDE = "33 32 0:29 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_v2() -> None:
    found = hierarchies(V2.splitlines())
    assert (found.mode, found.v2, found.v1) == ("v2", "/sys/fs/cgroup", {})


def test_v1_with_two_controllers_in_one_tree() -> None:
    found = hierarchies(V1.splitlines())
    assert found.mode == "v1"
    assert found.v1 == {
        "name=systemd": "/sys/fs/cgroup/systemd",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "pids": "/sys/fs/cgroup/pids",
    }


def test_hybrid_is_v1_with_v2_beside_it() -> None:
    found = hierarchies((V1 + BESIDE).splitlines())
    assert (found.mode, found.v2) == ("hybrid", "/sys/fs/cgroup/unified")


def test_nothing_mounted() -> None:
    assert hierarchies("22 1 8:1 / / rw - ext4 /dev/vda rw\n".splitlines()).mode == "none"


def test_no_line_is_read_after_the_last_that_is_wanted() -> None:
    def table() -> Iterator[str]:
        yield from (V1 + BESIDE).splitlines()
        raise AssertionError("read too far")

    found = hierarchies(table(), {"", "name=systemd", "cpu", "cpuacct", "pids"})
    assert found == hierarchies((V1 + BESIDE).splitlines())
    both = "99 1 0:99 / /elsewhere rw - cgroup2 cgroup2 rw\n"
    assert hierarchies([*V1.splitlines(), both.strip()], {"", "memory"}).v2 == "/elsewhere", "memory is mounted nowhere"
