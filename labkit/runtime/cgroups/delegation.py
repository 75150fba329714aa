"""Who has no rights over the whole machine: a container of his has a group only where one was handed to him.

cgroups(7), "Delegation": its owner may make groups below it. systemd does so on v2 for a user's services; on v1 nobody
does as a rule. As runc does, a container then goes without, unless it is to have limits.
"""

from __future__ import annotations

import os

from labkit.errors import KernelError
from labkit.runtime.cgroups import group, limits, placement
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.std.typing import Any


def place(wanted: str, container_id: str, resources: dict[str, Any], hierarchies: Hierarchies) -> tuple[str, Any]:
    """Where the group of a container lies (placement.path; empty for none at all), and what it is to be limited in.

    KernelError where it is to have limits, and we may make no group. Devices need no rules then: nobody but root can
    make one (mknod(2)), and to filter them takes root, too.
    """
    path = placement.path(wanted, container_id)
    if not wanted and hierarchies.mode == "v2":
        path = _beside_ours(container_id)
    kept = {name: value for name, value in resources.items() if name != "devices"}
    places = group.directories(path, hierarchies)
    closed = [place for place in places if not _may_make(place)]
    if places and not closed:
        return path, kept
    wishes = list(limits.for_v1(kept))
    if wishes:
        where = f"the group {closed[0]} may not be made" if closed else "no cgroups are mounted"
        raise KernelError(
            f"the limit of {wishes[0]} cannot be set without root: {where}",
            "have a group of cgroup v2 handed to you, as 'systemd-run --user --scope -p Delegate=yes' does",
        )
    return "", kept


def _beside_ours(container_id: str) -> str:
    """Below the parent of our own group: that one has processes, so that on v2 it can hand no controllers on."""
    return os.path.normpath(f"/{os.path.dirname(placement.ours())}/{container_id}")


def _may_make(place: str) -> bool:
    """Whether we may make that directory, and those between it and one that is there."""
    while not os.path.exists(place):
        place = os.path.dirname(place)
    return os.access(place, os.W_OK)
