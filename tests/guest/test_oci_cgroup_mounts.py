"""The mount of a bundle that shows control groups, on whichever version this machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bundles import Bundle, mount_line

from labkit.runtime.cgroups.detect import here

TABLE = "cat /proc/self/mountinfo"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


def test_cgroups(bundle: Bundle) -> None:
    """Own namespace: the root of each tree is the container's own group, and nothing can be written."""
    said = bundle.run("mkdir /sys/fs/cgroup/x && echo made; ls /sys/fs/cgroup; cat /proc/self/mountinfo")
    assert "made" not in said
    points = [line.split(" ") for line in said.splitlines() if " /sys/fs/cgroup" in line]
    names = {os.path.basename(point) for point in here().v1.values()}
    assert names <= set(said.splitlines())
    for point in points:
        kind = point[point.index("-") + 1]
        assert "ro" in point[5].split(",")
        assert kind == "tmpfs" or point[3] == "/"
    if here().mode == "hybrid":
        assert mount_line(said, f"/sys/fs/cgroup/{os.path.basename(here().v2)}")[1] == "cgroup2"
    if here().mode == "v2":
        assert mount_line(said, "/sys/fs/cgroup")[1] == "cgroup2"
    else:
        assert mount_line(said, "/sys/fs/cgroup")[1] == "tmpfs"


def test_controllers_of_one_tree_have_a_link_each(bundle: Bundle) -> None:
    together = {name: point for name, point in here().v1.items() if os.path.basename(point) != name and "=" not in name}
    if not together:
        pytest.skip("no two controllers share a tree here")
    links = " ".join(f"/sys/fs/cgroup/{name}" for name in together)
    found = bundle.run(f"for link in {links}; do readlink $link; done").split()
    assert found == [os.path.basename(point) for point in together.values()]


def test_cgroups_without_a_namespace_of_their_own(bundle: Bundle) -> None:
    bundle.without("cgroup")
    said = bundle.run(TABLE)
    place = bundle.config["linux"]["cgroupsPath"]
    if here().mode == "v2":
        assert mount_line(said, "/sys/fs/cgroup")[1] == "cgroup2"
        return
    for point in set(here().v1.values()):
        (line,) = [line for line in said.splitlines() if f" /sys/fs/cgroup/{os.path.basename(point)} " in line]
        assert line.split(" ")[3].endswith(place)
        assert "ro" in line.split(" ")[5].split(",")


@pytest.mark.parametrize("kind", ["with a namespace", "without one"])
def test_cgroups_on_a_sys_that_has_them_already(bundle: Bundle, kind: str) -> None:
    """The kernel mounts v2's tree on no other mount of it: what would be seen there is bound."""
    if kind == "without one":
        bundle.without("cgroup")
    (sysfs,) = [mount for mount in bundle.config["mounts"] if mount["destination"] == "/sys"]
    sysfs.update(type="none", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])
    said = bundle.run(f"mkdir /sys/fs/cgroup/x && echo made; {TABLE}")
    assert "made" not in said
    last = [line.split(" ") for line in said.splitlines() if " /sys/fs/cgroup" in line][-1]
    assert "ro" in last[5].split(",")
    if here().mode == "v2":
        assert last[4] == "/sys/fs/cgroup"
        inside = bundle.try_to_run("grep -x 1 /sys/fs/cgroup/cgroup.procs").stdout == "1\n"
        tree = bundle.try_to_run("test -d /sys/fs/cgroup/labkit").returncode == 0
        assert (inside, tree) == (kind == "with a namespace", kind == "without one")


def test_cgroups_of_another_user_namespace(open_place: Path) -> None:
    """v2's tree is mounted only by who is root where the cgroup namespace was made; on v1 groups are bound anyhow."""
    bundle = Bundle(open_place / "bundle")
    bundle.in_user_namespace()
    bundle.without("cgroup")
    said = bundle.run(f"mkdir /sys/fs/cgroup/x && echo made; {TABLE}")
    assert "made" not in said
    assert mount_line(said, "/sys/fs/cgroup")[1] == ("cgroup2" if here().mode == "v2" else "tmpfs")
