"""Operations on a group in v2's terms: one tree, and a controller has its files only where the parent hands it on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from labkit.cgroups import limits
from labkit.cgroups.detect import Hierarchies
from labkit.cgroups.operations import ChangeSetting, EnableControllers, MakeGroup, SetLimit, current, missing
from labkit.operations import Operation

#: What every container's group has where the kernel does: its use is counted, limit or not.
ALWAYS = ("cpu", "memory", "pids", "io")


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """The one."""
    return [os.path.join(hierarchies.v2, path.lstrip("/"))]


def creation(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """Make the group and set its limits. NotFoundError for a limit whose controller is not there."""
    (directory,) = directories(path, hierarchies)
    settings = limits.for_v2(resources)
    wanted = _wanted(settings, hierarchies, ALWAYS)
    operations: list[Operation] = [
        EnableControllers(hierarchies.v2, wanted),
        MakeGroup(directory),  # first: with a group in it the parent cannot go any more
        EnableControllers(os.path.dirname(directory), wanted),
    ]
    if resources.get("devices"):
        from labkit.cgroups.devicefilter import ProgramDevices  # local: a bare runtime's group has no filter

        operations.append(ProgramDevices(directory, tuple(resources["devices"])))
    return operations + [SetLimit(directory, *setting) for each in settings.values() for setting in each]


def change(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """The limits of a group that is there, as far as they are not what is wanted."""
    (directory,) = directories(path, hierarchies)
    settings = limits.for_v2(resources)
    wanted = _wanted(settings, hierarchies)
    handed_on = Path(directory, "cgroup.controllers").read_text(encoding="ascii").split()
    operations: list[Operation] = []
    if not set(wanted) <= set(handed_on):
        operations += [EnableControllers(hierarchies.v2, wanted), EnableControllers(os.path.dirname(directory), wanted)]
    for name, value in [setting for each in settings.values() for setting in each]:
        # A controller that is handed on only now begins with what its files say then; nothing in them is a limit.
        before = current(directory, name) if os.path.exists(f"{directory}/{name}") else ""
        if before != value:
            operations.append(ChangeSetting(directory, name, value, before))
    return operations


def _wanted(settings: limits.Settings, hierarchies: Hierarchies, always: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The controllers that the settings need, and those of ``always`` that there are."""
    offered = Path(hierarchies.v2, "cgroup.controllers").read_text(encoding="ascii").split()
    for controller in settings:
        if controller not in offered:
            raise missing(controller, "v2", "that limit cannot be set")
    used = [name for name in always if name in offered]
    return tuple(dict.fromkeys([*used, *settings]))


def freezer(path: str, hierarchies: Hierarchies) -> str:
    """The file that freezes the group; every group but the root has it (Linux 5.2)."""
    return os.path.join(directories(path, hierarchies)[0], "cgroup.freeze")


def usage(path: str, hierarchies: Hierarchies) -> dict[str, int]:
    """What the group has used, as far as its controllers are there; the names are those of usage.py."""
    place = directories(path, hierarchies)[0]
    found: dict[str, int] = {}
    for name, key in (("memory.current", "memory_bytes"), ("memory.max", "memory_limit"), ("pids.current", "pids")):
        with contextlib.suppress(FileNotFoundError):
            value = current(place, name)
            if value != "max":
                found[key] = int(value)
    with contextlib.suppress(FileNotFoundError, KeyError):
        statistics = _statistics(place, "cpu.stat")
        found["cpu_nanoseconds"] = statistics["usage_usec"] * 1000
        found["throttled_periods"] = statistics["nr_throttled"]
        found["throttled_nanoseconds"] = statistics["throttled_usec"] * 1000
    with contextlib.suppress(FileNotFoundError, KeyError):
        found["memory_bytes"] -= _statistics(place, "memory.stat")["inactive_file"]
    return found


def _statistics(place: str, name: str) -> dict[str, int]:
    text = Path(place, name).read_text(encoding="ascii")
    return {key: int(value) for key, _, value in (line.partition(" ") for line in text.splitlines())}
