"""Operations on a group in v1's terms: each controller has a tree of its own, so a group is a directory in each.

On a hybrid machine a v2 tree lies beside them, of which group.py makes a use of its own.
"""

from __future__ import annotations

import os

from labkit.runtime.cgroups import placement
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import InheritCpuset, MakeGroup, changes, current, missing, setting_operation
from labkit.runtime.cgroups.ordering import in_order
from labkit.runtime.cgroups.setting import Settings
from labkit.runtime.operations import Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.text import textfile


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """One for each mounted tree (cpu and cpuacct may share one)."""
    return [os.path.join(point, path.lstrip("/")) for point in sorted(set(hierarchies.v1.values()))]


def creation(path: str, settings: Settings, hierarchies: Hierarchies) -> list[Operation]:
    """Make the group in every tree, and set its limits. NotFoundError for a limit whose controller is not there."""
    operations: list[Operation] = [
        MakeGroup(os.path.join(point, path.lstrip("/")), placement.parents(point, path))
        for point in sorted(set(hierarchies.v1.values()))
    ]
    if "cpuset" in hierarchies.v1:
        levels = len(path.strip("/").split("/"))
        operations.append(InheritCpuset(directory("cpuset", path, hierarchies), levels))
    for controller, wanted in settings.items():
        place = directory(controller, path, hierarchies)
        operations += [setting_operation(place, setting) for setting in wanted]
    return operations


def device_filter(path: str, rules: tuple[str, ...], hierarchies: Hierarchies) -> Operation:
    """What keeps the group from all devices but those that the rules allow."""
    from labkit.runtime.cgroups.devicefilter import ListDevices  # local: a bare runtime's group has no such list

    return ListDevices(directory("devices", path, hierarchies, "devices cannot be kept from a container"), rules)


def change(path: str, settings: Settings, hierarchies: Hierarchies) -> list[Operation]:
    """The limits of a group that is there, as far as they are not what is wanted."""
    operations: list[Operation] = []
    for controller, wanted in settings.items():
        operations += in_order(changes(directory(controller, path, hierarchies), wanted))
    return operations


def freezer(path: str, hierarchies: Hierarchies) -> str:
    """The file that freezes the group (cgroup-v1/freezer-subsystem.rst)."""
    return os.path.join(directory("freezer", path, hierarchies, "it cannot be paused"), "freezer.state")


def usage(path: str, hierarchies: Hierarchies) -> dict[str, int]:
    """What the group has used, as far as its controllers are there; the names are those of usage.py."""
    found: dict[str, int] = {}
    for controller, name, key in (
        ("cpuacct", "cpuacct.usage", "cpu_nanoseconds"),
        ("memory", "memory.usage_in_bytes", "memory_bytes"),
        ("memory", "memory.limit_in_bytes", "memory_limit"),
        ("pids", "pids.current", "pids"),
    ):
        if controller in hierarchies.v1:
            with suppress(FileNotFoundError):
                found[key] = int(current(directory(controller, path, hierarchies), name))
    with suppress(FileNotFoundError, KeyError):
        statistics = _statistics(hierarchies.v1["cpu"], path, "cpu.stat")
        found["throttled_periods"], found["throttled_nanoseconds"] = (
            statistics["nr_throttled"],
            statistics["throttled_time"],
        )
    with suppress(FileNotFoundError, KeyError):
        found["memory_bytes"] -= _statistics(hierarchies.v1["memory"], path, "memory.stat")["total_inactive_file"]
    return found


def _statistics(point: str, path: str, name: str) -> dict[str, int]:
    text = textfile.read("/".join((point, path.lstrip("/"), name)))
    return {key: int(value) for key, _, value in (line.partition(" ") for line in text.splitlines())}


def directory(controller: str, path: str, hierarchies: Hierarchies, what: str = "that limit cannot be set") -> str:
    """The group's directory in the tree of ``controller``; NotFoundError without one: ``what`` is what fails."""
    if controller not in hierarchies.v1:
        raise missing(controller, "v1", what)
    return os.path.join(hierarchies.v1[controller], path.lstrip("/"))
