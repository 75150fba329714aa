"""Operations on a group in v1's terms: each controller has a tree of its own, so a group is a directory in each.

On a hybrid machine a v2 tree lies beside them, of which group.py makes a use of its own.
"""

from __future__ import annotations

import os

from labkit.runtime.cgroups import placement
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import InheritCpuset, MakeGroup, Settings, changes, missing
from labkit.runtime.operations import Operation
from labkit.runtime.std.dataclasses import replace


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
        operations += [replace(setting, path=place) for setting in wanted]
    return operations


def change(path: str, settings: Settings, hierarchies: Hierarchies) -> list[Operation]:
    """The limits of a group that is there, as far as they are not what is wanted."""
    operations: list[Operation] = []
    for controller, wanted in settings.items():
        operations += changes(directory(controller, path, hierarchies), wanted)
    return operations


def directory(controller: str, path: str, hierarchies: Hierarchies, what: str = "that limit cannot be set") -> str:
    """The group's directory in the tree of ``controller``; NotFoundError without one: ``what`` is what fails."""
    if controller not in hierarchies.v1:
        raise missing(controller, "v1", what)
    return os.path.join(hierarchies.v1[controller], path.lstrip("/"))
