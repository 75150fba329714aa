"""A container's cgroup, whatever the version: where it lies, the operations that make and change it, its processes."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from labkit.cgroups import freezer, limits, v1, v2
from labkit.cgroups.detect import Hierarchies
from labkit.errors import KernelError, NotFoundError
from labkit.kernel import process
from labkit.operations import Operation


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """The group's directories: one on v2, one for each mounted tree on v1; none where no cgroups are mounted."""
    if hierarchies.v1:
        return v1.directories(path, hierarchies)
    return v2.directories(path, hierarchies) if hierarchies.v2 else []


def plan(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """What makes the group ``path`` (as ``/labkit/ID``) with its limits, in this machine's version.

    ``resources`` are the specification's, but ``devices`` is the list of what is allowed (devices.py). NotFoundError
    for a limit that this machine cannot set; a controller that nothing asks for may be missing.
    """
    if hierarchies.v1:
        return v1.creation(path, resources, hierarchies)
    if hierarchies.v2:
        return v2.creation(path, resources, hierarchies)
    _refuse(resources)
    return []


def change(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """What gives the group these limits while it is in use. Devices cannot be changed."""
    if hierarchies.v1:
        return v1.change(path, resources, hierarchies)
    if hierarchies.v2:
        return v2.change(path, resources, hierarchies)
    _refuse(resources)
    return []


def _refuse(resources: dict[str, Any]) -> None:
    wanted = [*limits.for_v1(resources), *(["devices"] if resources.get("devices") else [])]
    if wanted:
        raise NotFoundError(
            f"no cgroups are mounted on this machine, so the limit of {wanted[0]} cannot be set",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )


def filters_devices(hierarchies: Hierarchies) -> bool:
    """Whether a group can be kept from devices here: v1 needs its controller, v2 any kernel since 4.15."""
    return "devices" in hierarchies.v1 if hierarchies.v1 else bool(hierarchies.v2)


def add_process(path: str, pid: int, hierarchies: Hierarchies) -> None:
    """Move a process into the group, in every hierarchy."""
    for directory in directories(path, hierarchies):
        Path(directory, "cgroup.procs").write_text(str(pid), encoding="ascii")


def doors(path: str, hierarchies: Hierarchies) -> list[int]:
    """Descriptors through which a process can enter the group later, from where its files cannot be seen."""
    places = directories(path, hierarchies)
    return [os.open(f"{place}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for place in places]


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
    """SIGKILL everything in it, until it is empty. On v1 a frozen process dies only when it is thawed."""
    if freezer.is_frozen(path, hierarchies):
        for pid in pids(path, hierarchies):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(KernelError, FileNotFoundError):  # it may be gone by now
            freezer.thaw(path, hierarchies)
    process.kill_all(lambda: pids(path, hierarchies), seconds)
