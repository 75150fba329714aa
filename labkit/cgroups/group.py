"""A container's cgroup: where it lies, the operations that make it, its processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from labkit.cgroups import limits
from labkit.cgroups.detect import Hierarchies
from labkit.cgroups.operations import EnableControllers, InheritCpuset, MakeGroup, SetLimit
from labkit.errors import NotFoundError
from labkit.kernel import process
from labkit.operations import Operation

#: What a container's limits need on v2: a controller has its files only where the parent passes it on.
V2_CONTROLLERS = ("cpu", "memory", "pids", "io")


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """The group's directories: one on v2, one for each mounted hierarchy on v1 (cpu and cpuacct may share one)."""
    points = sorted(set(hierarchies.v1.values())) or [hierarchies.v2]
    return [os.path.join(point, path.lstrip("/")) for point in points if point]


def plan(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """What makes the group ``path`` (as ``/labkit/ID``) with its limits, in this machine's version."""
    if hierarchies.v1:
        return _plan_v1(path, resources, hierarchies)
    return _plan_v2(path, resources, hierarchies) if hierarchies.v2 else []


def _plan_v2(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    (directory,) = directories(path, hierarchies)
    parent = os.path.dirname(directory)
    offered = Path(hierarchies.v2, "cgroup.controllers").read_text(encoding="ascii").split()
    wanted = tuple(name for name in V2_CONTROLLERS if name in offered)
    operations: list[Operation] = [
        EnableControllers(hierarchies.v2, wanted),
        MakeGroup(directory),  # first: with a group in it the parent cannot go any more
        EnableControllers(parent, wanted),
    ]
    operations += [SetLimit(directory, name, value) for name, value in limits.for_v2(resources)]
    return operations


def _plan_v1(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    operations: list[Operation] = []
    operations += [MakeGroup(directory) for directory in directories(path, hierarchies)]
    if "cpuset" in hierarchies.v1:
        directory = os.path.join(hierarchies.v1["cpuset"], path.lstrip("/"))
        operations.append(InheritCpuset(directory))
    for controller, settings in limits.for_v1(resources).items():
        if controller not in hierarchies.v1:
            raise NotFoundError(
                f"this machine has no {controller} controller on cgroup v1, so that limit cannot be set",
                "see the list in /proc/cgroups; from kernel 6.12 on Debian builds v1 without memory and cpuset",
            )
        directory = os.path.join(hierarchies.v1[controller], path.lstrip("/"))
        operations += [SetLimit(directory, name, value) for name, value in settings]
    return operations


def add_process(path: str, pid: int, hierarchies: Hierarchies) -> None:
    """Move a process into the group, in every hierarchy."""
    for directory in directories(path, hierarchies):
        Path(directory, "cgroup.procs").write_text(str(pid), encoding="ascii")


def pids(path: str, hierarchies: Hierarchies) -> list[int]:
    """The processes in the group and in the groups below it; none where it is not there."""
    found: set[int] = set()
    for directory in directories(path, hierarchies):
        for place, _, files in os.walk(directory):
            if "cgroup.procs" in files:
                try:
                    found.update(int(line) for line in Path(place, "cgroup.procs").read_text(encoding="ascii").split())
                except OSError:  # removed while we read it
                    continue
    found.discard(0)  # a process of a pid namespace that we cannot see
    return sorted(found)


def kill(path: str, hierarchies: Hierarchies, seconds: float = 10.0) -> None:
    """SIGKILL everything in it, until it is empty."""
    process.kill_all(lambda: pids(path, hierarchies), seconds)
