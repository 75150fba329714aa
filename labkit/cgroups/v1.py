"""Operations on a group in v1's terms: each controller has a tree of its own, so a group is a directory in each.

Hybrid machines are this, too: their v2 tree has none of the controllers.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from labkit.cgroups import limits
from labkit.cgroups.detect import Hierarchies
from labkit.cgroups.operations import ChangeSetting, InheritCpuset, MakeGroup, SetLimit, current, missing
from labkit.operations import Operation

_MEMORY, _BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """One for each mounted tree (cpu and cpuacct may share one)."""
    return [os.path.join(point, path.lstrip("/")) for point in sorted(set(hierarchies.v1.values()))]


def creation(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """Make the group in every tree, and set its limits. NotFoundError for a limit whose controller is not there."""
    operations: list[Operation] = [MakeGroup(directory) for directory in directories(path, hierarchies)]
    if "cpuset" in hierarchies.v1:
        operations.append(InheritCpuset(_directory("cpuset", path, hierarchies)))
    if resources.get("devices"):
        from labkit.cgroups.devicefilter import ListDevices  # local: a bare runtime's group has no such list

        operations.append(ListDevices(_directory("devices", path, hierarchies), tuple(resources["devices"])))
    for controller, settings in limits.for_v1(resources).items():
        directory = _directory(controller, path, hierarchies)
        operations += [SetLimit(directory, name, value) for name, value in settings]
    return operations


def change(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """The limits of a group that is there, as far as they are not what is wanted."""
    operations: list[Operation] = []
    for controller, settings in limits.for_v1(resources).items():
        directory = _directory(controller, path, hierarchies)
        found = [ChangeSetting(directory, name, value, current(directory, name)) for name, value in settings]
        operations += _in_order([each for each in found if each.value != each.before])
    return operations


def _in_order(changes: list[ChangeSetting]) -> list[ChangeSetting]:
    """Memory and swap together must never be less than memory alone: what grows is written first."""
    if [change.name for change in changes] != [_MEMORY, _BOTH]:
        return changes
    memory, both = changes
    grows = both.value == "-1" or int(both.value) > int(memory.before)
    return [both, memory] if grows else changes


def freezer(path: str, hierarchies: Hierarchies) -> str:
    """The file that freezes the group (cgroup-v1/freezer-subsystem.rst)."""
    return os.path.join(_directory("freezer", path, hierarchies, "it cannot be paused"), "freezer.state")


def usage(path: str, hierarchies: Hierarchies) -> dict[str, int]:
    """What the group has used, as far as its controllers are there; the names are those of usage.py."""
    found: dict[str, int] = {}
    for controller, name, key in (
        ("cpuacct", "cpuacct.usage", "cpu_nanoseconds"),
        ("memory", "memory.usage_in_bytes", "memory_bytes"),
        ("memory", _MEMORY, "memory_limit"),
        ("pids", "pids.current", "pids"),
    ):
        if controller in hierarchies.v1:
            with contextlib.suppress(FileNotFoundError):
                found[key] = int(current(_directory(controller, path, hierarchies), name))
    with contextlib.suppress(FileNotFoundError, KeyError):
        statistics = _statistics(hierarchies.v1["cpu"], path, "cpu.stat")
        found["throttled_periods"], found["throttled_nanoseconds"] = (
            statistics["nr_throttled"],
            statistics["throttled_time"],
        )
    with contextlib.suppress(FileNotFoundError, KeyError):
        found["memory_bytes"] -= _statistics(hierarchies.v1["memory"], path, "memory.stat")["total_inactive_file"]
    return found


def _statistics(point: str, path: str, name: str) -> dict[str, int]:
    text = Path(point, path.lstrip("/"), name).read_text(encoding="ascii")
    return {key: int(value) for key, _, value in (line.partition(" ") for line in text.splitlines())}


def _directory(controller: str, path: str, hierarchies: Hierarchies, what: str = "that limit cannot be set") -> str:
    if controller not in hierarchies.v1:
        raise missing(controller, "v1", what)
    return os.path.join(hierarchies.v1[controller], path.lstrip("/"))
