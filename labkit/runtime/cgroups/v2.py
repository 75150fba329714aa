"""Operations on a group in v2's terms: one tree, and a controller has its files only where the parent hands it on."""

from __future__ import annotations

import os

from labkit.errors import NotFoundError
from labkit.runtime.cgroups import placement
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import EnableControllers, MakeGroup, changes, missing, setting_operation
from labkit.runtime.cgroups.ordering import in_order
from labkit.runtime.cgroups.setting import Settings
from labkit.runtime.operations import Operation
from labkit.runtime.text import textfile

#: What every container's group has where the kernel does: its use is counted, limit or not.
ALWAYS = ("cpu", "memory", "pids", "io")

#: Files that belong to no controller and are always there, as cgroup.max.depth.
_CORE = "cgroup"


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """The one."""
    return [os.path.join(hierarchies.v2, path.lstrip("/"))]


def creation(
    path: str, settings: Settings, hierarchies: Hierarchies, always: tuple[str, ...] = ALWAYS
) -> list[Operation]:
    """Make the group and set its limits. NotFoundError for a limit whose controller is not there.

    Controllers are handed on from the root of the tree down to the group's parent.
    """
    (directory,) = directories(path, hierarchies)
    wanted = _wanted(settings, hierarchies, always)
    required = tuple(name for name in settings if name != _CORE)
    above = _above(directory, hierarchies) if wanted else []
    operations: list[Operation] = [EnableControllers(place, wanted, required) for place in above[:1]]
    # With a group in it no parent can go any more.
    operations.append(MakeGroup(directory, placement.parents(hierarchies.v2, path)))
    operations += [EnableControllers(place, wanted, required) for place in above[1:]]
    return operations + [setting_operation(directory, setting) for each in settings.values() for setting in each]


def _above(directory: str, hierarchies: Hierarchies) -> list[str]:
    """The groups from the root of the tree down to the parent of ``directory``."""
    places: list[str] = []
    while directory not in (hierarchies.v2, "/", ""):
        directory = os.path.dirname(directory)
        places.insert(0, directory)
    return places


def device_filter(path: str, rules: tuple[str, ...], hierarchies: Hierarchies) -> Operation:
    """What keeps the group from all devices but those that the rules allow."""
    from labkit.runtime.cgroups.devicefilter import ProgramDevices  # local: a bare runtime's group has no filter

    return ProgramDevices(directories(path, hierarchies)[0], rules)


def change(path: str, settings: Settings, hierarchies: Hierarchies) -> list[Operation]:
    """The limits of a group that is there, as far as they are not what is wanted."""
    (directory,) = directories(path, hierarchies)
    wanted = _wanted(settings, hierarchies)
    handed_on = textfile.read(f"{directory}/cgroup.controllers").split()
    operations: list[Operation] = []
    if not set(wanted) <= set(handed_on):
        operations += [EnableControllers(place, wanted, wanted) for place in _above(directory, hierarchies)]
    for each in settings.values():
        operations += in_order(changes(directory, each))
    return operations


def offered(hierarchies: Hierarchies) -> list[str]:
    """The controllers of the tree."""
    try:
        return textfile.read(f"{hierarchies.v2}/cgroup.controllers").split()
    except FileNotFoundError:
        return []


def _wanted(settings: Settings, hierarchies: Hierarchies, always: tuple[str, ...] = ()) -> tuple[str, ...]:
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


def freezer(path: str, hierarchies: Hierarchies) -> str:
    """The file that freezes the group; every group but the root has it (Linux 5.2)."""
    return os.path.join(directories(path, hierarchies)[0], "cgroup.freeze")
