"""Which of the machine's trees serves which limit. A controller is in one tree only.

On a hybrid machine v2's tree serves what v1 has not: from Linux 6.12 on Debian's kernels have memory and cpuset there
only (CONFIG_MEMCG_V1 and CONFIG_CPUSETS_V1 are unset). runc and crun look at v1 alone then, and refuse such a limit;
the kernel does not, and a container that can be kept within its memory is better than one that cannot be started.
"""

from __future__ import annotations

from labkit import log
from labkit.runtime.cgroups import limits, v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.setting import Settings
from labkit.runtime.std.typing import Any

#: Section of the specification -> controller, by v1's name.
_CONTROLLERS = {
    "cpu": "cpu",
    "memory": "memory",
    "pids": "pids",
    "blockIO": "blkio",
    "hugepageLimits": "hugetlb",
    "rdma": "rdma",
}
_V1_NAMES = {"io": "blkio"}
#: These of the section ``cpu`` are another controller's.
_CPUSET = ("cpus", "mems")


def shared_out(resources: dict[str, Any], hierarchies: Hierarchies) -> tuple[Settings, Settings]:
    """The settings for v1's trees, and those for v2's. What neither has a file for is told as a warning, as by runc."""
    second = _only_on_v2(hierarchies)
    first: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in resources.items():
        if name != "cpu":
            (rest if _CONTROLLERS.get(name, "") in second or not hierarchies.v1 else first)[name] = value
            continue
        # One section of the specification, two controllers of the kernel.
        for controller in ("cpuset", "cpu"):
            inside = controller == "cpuset"
            values = {key: number for key, number in value.items() if (key in _CPUSET) is inside}
            place = rest if controller in second or not hierarchies.v1 else first
            place["cpu"] = {**place.get("cpu", {}), **values}
    for part, version in ((first, "v1"), (rest, "v2")):
        for name in limits.ignored(part, version):
            log.emit("warning", message=f"linux.resources.{name} has no effect on cgroup {version} and is ignored")
    return limits.for_v1(first), limits.for_v2(rest)


def counted_on_v2(hierarchies: Hierarchies) -> tuple[str, ...]:
    """What v2's tree counts for every container: beside v1's trees only what they have not."""
    return tuple(name for name in v2.ALWAYS if _V1_NAMES.get(name, name) not in hierarchies.v1)


def _only_on_v2(hierarchies: Hierarchies) -> set[str]:
    """Controllers that only the v2 tree beside v1's has, by v1's names."""
    if not (hierarchies.v1 and hierarchies.v2):
        return set()
    return {_V1_NAMES.get(name, name) for name in v2.offered(hierarchies)} - set(hierarchies.v1)
