"""What is planned inside the root file system, compared as operations and as text."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.oci import plan, spec
from labkit.runtime.oci.root import mountplan
from labkit.runtime.oci.root.cgrouptree import MountTreeOrBind
from labkit.runtime.oci.root.mounting import BindInside, MountInside, RemountInside
from labkit.runtime.oci.root.rootfs import LinkInside
from labkit.runtime.std.dataclasses import asdict, replace

SPLIT = Hierarchies({"cpu": "/c/cpu,cpuacct", "cpuacct": "/c/cpu,cpuacct", "name=systemd": "/c/systemd"}, "/c/unified")


def _spec(mounts: list[dict[str, Any]], kinds: tuple[str, ...] = ("mount", "cgroup"), **linux: object) -> spec.Spec:
    return spec.parse(
        {
            "process": {"args": ["sh"], "cwd": "/"},
            "root": {"path": "r"},
            "mounts": mounts,
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "cgroupsPath": "/g/id",
                "resources": {"devices": [{"allow": True, "access": "rwm"}]},  # so that no group is needed
                **linux,
            },
        },
        "/b",
    )


CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "rslave"]}


def test_v1_in_a_cgroup_namespace() -> None:
    made, _ = mountplan.mounting(_spec([CGROUP]), SPLIT)
    quiet, place = ("nosuid", "noexec", "nodev"), "/sys/fs/cgroup"
    assert made == [
        MountInside("/b/r", place, "tmpfs", "tmpfs", (*quiet, "mode=755", "rslave")),
        MountInside("/b/r", f"{place}/cpu,cpuacct", "cgroup", "cgroup", (*quiet, "ro", "cpu", "cpuacct")),
        LinkInside("/b/r", f"{place}/cpu", "cpu,cpuacct"),
        LinkInside("/b/r", f"{place}/cpuacct", "cpu,cpuacct"),
        MountInside("/b/r", f"{place}/systemd", "cgroup", "cgroup", (*quiet, "ro", "name=systemd")),
        MountInside("/b/r", f"{place}/unified", "cgroup2", "cgroup2", (*quiet, "ro")),
        RemountInside("/b/r", place, (*quiet, "ro")),
    ]


def test_v1_without_one_binds_the_containers_own_groups() -> None:
    made, _ = mountplan.mounting(_spec([CGROUP], ("mount",)), SPLIT)
    bound = [operation.source for operation in made if isinstance(operation, BindInside)]
    assert bound[:2] == ["/c/cpu,cpuacct/g/id", "/c/systemd/g/id"]
    assert all(source.startswith("/c/unified") for source in bound[2:])


def test_v2_is_one_tree() -> None:
    made, late = mountplan.mounting(_spec([CGROUP]), Hierarchies(v2="/sys/fs/cgroup"))
    assert made == [MountInside("/b/r", "/sys/fs/cgroup", "cgroup", "cgroup2", ("ro", "rslave"))]
    assert late == []


@pytest.mark.parametrize(
    ("kinds", "instead"),
    [(("mount", "cgroup", "user"), "/sys/fs/cgroup/g/id"), (("mount", "user"), "/sys/fs/cgroup")],
)
def test_v2_that_may_not_be_mounted_is_bound(kinds: tuple[str, ...], instead: str) -> None:
    ids = [{"containerID": 0, "hostID": 1, "size": 1}]
    parsed = _spec([CGROUP], kinds, uidMappings=ids, gidMappings=ids)
    made, _ = mountplan.mounting(parsed, Hierarchies(v2="/sys/fs/cgroup"))
    place, options = "/sys/fs/cgroup", ("ro", "rslave")
    assert made == [MountTreeOrBind("/b/r", place, "cgroup", "cgroup2", options, instead)]
    assert f"mount -o bind,ro,rslave {instead} /b/r/sys/fs/cgroup" in made[0].describe()


def test_v2_on_a_tree_that_is_bound_already_and_a_container_without_a_group() -> None:
    below = {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind"]}
    parsed = replace(_spec([below, CGROUP]), cgroups_path="")
    made, _ = mountplan.mounting(parsed, Hierarchies(v2="/nowhere"))
    assert made[1] == MountTreeOrBind("/b/r", "/sys/fs/cgroup", "cgroup", "cgroup2", ("ro", "rslave"), "")
    assert "mount -t tmpfs -o ro,size=0k tmpfs /b/r/sys/fs/cgroup" in made[1].describe().partition(" || ")[2]


def test_what_must_still_be_filled_becomes_read_only_at_the_end() -> None:
    mount = {"destination": "/t", "type": "tmpfs", "source": "t", "options": ["ro", "nosuid", "size=1k", "tmpcopyup"]}
    made, late = mountplan.mounting(_spec([mount]), Hierarchies())
    assert made == [MountInside("/b/r", "/t", "t", "tmpfs", ("nosuid", "size=1k", "tmpcopyup"))]
    assert late == [RemountInside("/b/r", "/t", ("ro", "nosuid"))]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("", "mount --make-rslave /"),
        ("slave", "mount --make-rslave /"),
        ("private", "mount --make-rprivate /"),
        ("runbindable", "mount --make-rprivate /"),
    ],
)
def test_the_hosts_mounts_are_let_go_of_first(asked: str, first: str) -> None:
    commands = [operation.describe() for operation in plan.make(_spec([], rootfsPropagation=asked), Hierarchies()).init]
    assert commands[:2] == [first, "mount -o rbind /b/r /b/r"]
    assert commands[-1] == (f"mount --make-{asked} /" if asked else "umount --lazy --no-canonicalize .")


def test_the_ways_into_the_root() -> None:
    def last(kinds: tuple[str, ...] = ("mount",), no_pivot: bool = False) -> str:
        return plan.make(_spec([], kinds), Hierarchies(), no_pivot).init[-1].describe()

    assert last() == "umount --lazy --no-canonicalize ."
    assert last(no_pivot=True).endswith("cd /b/r && mount --move /b/r / && exec chroot .")
    assert last(()) == "exec chroot /b/r"


def test_without_a_mount_namespace_one_undo_takes_all_mounts_away() -> None:
    host = plan.make(_spec([CGROUP], ()), Hierarchies()).host
    assert [operation.describe() for operation in host] == [
        "mount -o rbind /b/r /b/r && mount --make-rprivate /b/r",
    ]
    host[0].undo()  # nothing is mounted there


def test_a_dev_of_the_hosts_gets_no_nodes() -> None:
    bound = {"destination": "/dev/", "source": "/dev", "options": ["rbind"]}
    assert mountplan.nodes(_spec([bound])) == []
    names = [asdict(operation)["path"] for operation in mountplan.nodes(_spec([]))]
    assert {"/dev/null", "/dev/tty", "/dev/ptmx", "/dev/fd"} <= set(names)
