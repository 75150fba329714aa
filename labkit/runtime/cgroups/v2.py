"""Operations on a group in v2's terms: one tree, and a controller has its files only where the parent hands it on."""

from __future__ import annotations

import os

from labkit.errors import NotFoundError
from labkit.runtime.cgroups import placement
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import EnableControllers, MakeGroup, Settings, changes, missing
from labkit.runtime.operations import Operation
from labkit.runtime.std.collections.abc import Iterable
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.text import textfile

#: What every container's group has where the kernel does: its use is counted, limit or not. (On a hybrid machine only
#: what v1's trees have not.)
ALWAYS = ("cpu", "memory", "pids", "io")
#: Controllers that v1 calls otherwise.
V1_NAMES = {"io": "blkio"}

#: Files that belong to no controller and are always there, as cgroup.max.depth.
_CORE = "cgroup"


def directory(path: str, hierarchies: Hierarchies) -> str:
    """The group's."""
    return os.path.join(hierarchies.v2, path.lstrip("/"))


def creation(path: str, settings: Settings, hierarchies: Hierarchies) -> list[Operation]:
    """Make the group and set its limits. NotFoundError for a limit whose controller is not there.

    Controllers are handed on from the root of the tree down to the group's parent.
    """
    place = directory(path, hierarchies)
    wanted = _wanted(settings, hierarchies, [name for name in ALWAYS if V1_NAMES.get(name, name) not in hierarchies.v1])
    required = tuple(name for name in settings if name != _CORE)
    operations: list[Operation] = [
        EnableControllers(above, wanted, required) for above in (_above(place, hierarchies) if wanted else [])
    ]
    # Below the root: with a group in it no parent can go any more.
    operations.insert(1, MakeGroup(place, placement.parents(hierarchies.v2, path)))
    return operations + [replace(setting, path=place) for each in settings.values() for setting in each]


def _above(directory: str, hierarchies: Hierarchies) -> list[str]:
    """The groups from the root of the tree down to the parent of ``directory``."""
    places: list[str] = []
    while directory not in (hierarchies.v2, "/", ""):
        directory = os.path.dirname(directory)
        places.insert(0, directory)
    return places


def change(path: str, settings: Settings, hierarchies: Hierarchies) -> list[Operation]:
    """The limits of a group that is there, as far as they are not what is wanted."""
    place = directory(path, hierarchies)
    wanted = _wanted(settings, hierarchies)
    operations: list[Operation] = []
    if not set(wanted) <= {*textfile.read(f"{place}/cgroup.controllers").split()}:
        operations += [EnableControllers(above, wanted, wanted) for above in _above(place, hierarchies)]
    for each in settings.values():
        operations += changes(place, each)
    return operations


def offered(hierarchies: Hierarchies) -> list[str]:
    """The controllers of the tree."""
    try:
        return textfile.read(f"{hierarchies.v2}/cgroup.controllers").split()
    except FileNotFoundError:
        return []


def _wanted(settings: Settings, hierarchies: Hierarchies, always: Iterable[str] = ()) -> tuple[str, ...]:
    """The controllers that the settings need, and those of ``always`` that there are."""
    there = offered(hierarchies)
    needed = {controller: wanted[0].asked for controller, wanted in settings.items() if controller != _CORE}
    for controller, asked in needed.items():
        if controller not in there:
            if asked.startswith("unified"):
                raise NotFoundError(
                    f'{asked} can\'t be set: controller "{controller}" not available',
                    f"this machine's controllers are: {' '.join(there)}",
                )
            raise missing(controller, "v2", "that limit cannot be set")
    used = [name for name in always if name in there]
    return tuple(dict.fromkeys([*used, *needed]))
