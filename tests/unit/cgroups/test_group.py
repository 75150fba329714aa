from __future__ import annotations

from pathlib import Path

import pytest

from labkit.cgroups import group
from labkit.cgroups.detect import Hierarchies
from labkit.errors import NotFoundError


def test_v2_hands_down_the_controllers_that_the_kernel_has(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    plan = group.plan("/labkit/abc", {"pids": {"limit": 7}}, Hierarchies(v2=str(tmp_path)))
    assert [operation.describe() for operation in plan] == [
        f"echo '+cpu +memory +pids' > {tmp_path}/cgroup.subtree_control",
        f"mkdir -p {tmp_path}/labkit/abc",
        f"echo '+cpu +memory +pids' > {tmp_path}/labkit/cgroup.subtree_control",
        f"echo 7 > {tmp_path}/labkit/abc/pids.max",
    ]


def test_v1_makes_a_group_in_every_tree_once() -> None:
    hierarchies = Hierarchies(v1={"cpu": "/c/cpu,cpuacct", "cpuacct": "/c/cpu,cpuacct", "pids": "/c/pids"})
    assert group.directories("/labkit/abc", hierarchies) == ["/c/cpu,cpuacct/labkit/abc", "/c/pids/labkit/abc"]
    made = [operation.describe() for operation in group.plan("/labkit/abc", {}, hierarchies)]
    assert made.count("mkdir -p /c/pids/labkit/abc") == 1
    assert made.count("mkdir -p /c/cpu,cpuacct/labkit/abc") == 1


def test_a_limit_whose_controller_is_not_there_is_an_error_and_not_ignored() -> None:
    with pytest.raises(NotFoundError, match="no memory controller on cgroup v1"):
        group.plan("/labkit/abc", {"memory": {"limit": 1}}, Hierarchies(v1={"pids": "/c/pids"}))
