"""Groups below a container's own, which a process beside its first one is to be in (``exec --cgroup``)."""

from __future__ import annotations

import os

from labkit.errors import KernelError, UsageError
from labkit.runtime.cgroups.detect import Hierarchies

#: v2's tree has no controllers of its own: it is meant by no name.
_V2 = ""


def doors(path: str, wanted: list[str], hierarchies: Hierarchies) -> list[int]:
    """Descriptors as group.doors has them. Each of ``wanted`` is ``PATH`` for all trees, or ``CONTROLLER[,…]:PATH`` for
    those of v1's controllers, below the group ``path``; a tree that none names keeps the group itself.

    UsageError where one cannot be meant, KernelError where there is no such group.
    """
    below = _read(wanted)
    trees = {**hierarchies.v1, **({_V2: hierarchies.v2} if hierarchies.v2 else {})}
    unknown = [name for name in below if name not in trees and name != _V2]
    if unknown:
        raise UsageError(
            f"unknown controller {unknown[0]} in --cgroup",
            f"this machine has {', '.join(sorted(hierarchies.v1)) or 'v2'}",
        )
    places: dict[str, str] = {}
    for name, point in trees.items():
        group = os.path.join(point, path.strip("/"))
        chosen = below.get(name, below.get(_V2, "") if len(below) == 1 else "")
        place = os.path.normpath(f"{group}/{chosen}")
        if place != group and not place.startswith(f"{group}/"):
            raise UsageError(
                f"bad sub cgroup path: {chosen}", "it is not a sub cgroup path of the container's own group"
            )
        if chosen or point not in places:  # cpu and cpuacct may share a tree
            places[point] = place
    return [_open(f"{place}/cgroup.procs") for place in places.values()]


def _read(wanted: list[str]) -> dict[str, str]:
    """Controller -> path; _V2 for all."""
    below: dict[str, str] = {}
    for words in wanted:
        names, colon, path = words.rpartition(":")
        if ":" in names or (not colon and len(wanted) > 1):
            raise UsageError(f"invalid --cgroup argument: {words}", "PATH alone, or CONTROLLER:PATH once or more")
        below.update((name, path) for name in names.split(","))
    return below


def _open(file: str) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        why = (error.strerror or "").lower()
        message = f"error adding pid {os.getpid()} to cgroups: open {file}: {why}"
        raise KernelError(message, "make the group first: it must exist", error.errno or 0) from None
