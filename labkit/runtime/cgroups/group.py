"""A container's cgroup, whatever the version: where it lies, the operations that make and change it, its processes."""

from __future__ import annotations

import errno
import os

from labkit import log
from labkit.errors import ConflictError, KernelError, NotFoundError, UsageError
from labkit.runtime.cgroups import freezer, limits, placement, v1, v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.devices import EVERYTHING, ListDevices, ProgramDevices
from labkit.runtime.cgroups.grouptree import Settings, remove_groups
from labkit.runtime.kernel import process
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import write_kernel_file
from labkit.runtime.std import signal
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile


def directories(path: str, hierarchies: Hierarchies) -> list[str]:
    """The group's directories: one on v2, one for each mounted tree on v1 (on a hybrid machine v2's is the last); none
    where no cgroups are mounted.
    """
    places = v1.directories(path, hierarchies)
    return [*places, v2.directory(path, hierarchies)] if hierarchies.v2 else places


def plan(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """What makes the group ``path`` (as ``/labkit/ID``) with its limits, in this machine's version.

    ``resources`` are the specification's, but ``devices`` is the list of what is allowed (devices.py). NotFoundError
    for a limit that this machine cannot set; a controller that nothing asks for may be missing. ConflictError where
    the group is there and in use.
    """
    places = directories(path, hierarchies)
    if not places:
        _refuse(resources)
        return []
    if any(os.path.exists(place) for place in places):
        placement.check_free(path, pids(path, hierarchies), freezer.is_frozen(path, hierarchies))
    on_v1, on_v2 = _shared_out(resources, hierarchies)
    operations = v1.creation(path, on_v1, hierarchies)
    if hierarchies.v2:
        operations += v2.creation(path, on_v2, hierarchies)
    return operations + _devices(path, resources, hierarchies)


def change(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    """What gives the group these limits while it is in use, devices included, if they are named.

    Of memory and cpu name all that holds in the end (limits.merged): what hangs together is converted together.
    NotFoundError and KernelError as for ``plan``; ConflictError where the group would be given less than it uses and
    ``memory.checkBeforeUpdate`` asks to look first.
    """
    if not directories(path, hierarchies):
        _refuse(resources)
        return []
    on_v1, on_v2 = _shared_out(resources, hierarchies)
    _check_memory(path, resources, hierarchies)
    operations = v1.change(path, on_v1, hierarchies)
    if on_v2:
        operations += v2.change(path, on_v2, hierarchies)
    return operations + _devices(path, resources, hierarchies)


#: Sections of the specification that are called otherwise than v1's controller.
_CONTROLLERS = {"blockIO": "blkio", "hugepageLimits": "hugetlb"}


def _shared_out(resources: dict[str, Any], hierarchies: Hierarchies) -> tuple[Settings, Settings]:
    """The settings for v1's trees, and those for v2's. What neither has a file for is told as a warning, as by runc.

    On a hybrid machine v2's tree serves what v1 has not: from Linux 6.12 on Debian's kernels have memory and cpuset
    there only (CONFIG_MEMCG_V1 and CONFIG_CPUSETS_V1 are unset). runc and crun look at v1 alone then, and refuse such a
    limit; the kernel does not, and a container that can be kept within its memory is better than one that cannot be
    started.
    """
    only_v2: set[str] = set()
    if hierarchies.v1 and hierarchies.v2:
        only_v2 = {v2.V1_NAMES.get(name, name) for name in v2.offered(hierarchies)} - set(hierarchies.v1)
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}

    def serving(controller: str) -> dict[str, Any]:
        return second if controller in only_v2 or not hierarchies.v1 else first

    for name, value in resources.items():
        if name == "cpu":  # one section of the specification, two controllers of the kernel
            for key, number in value.items():
                serving("cpuset" if key in ("cpus", "mems") else "cpu").setdefault("cpu", {})[key] = number
        else:
            serving(_CONTROLLERS.get(name, name))[name] = value
    for part, version in ((first, "v1"), (second, "v2")):
        for name in limits.ignored(part, version):
            log.emit("warning", message=f"linux.resources.{name} has no effect on cgroup {version} and is ignored")
    return limits.for_v1(first), limits.for_v2(second)


def _devices(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> list[Operation]:
    rules = resources.get("devices")
    if rules is None or (tuple(rules) == (EVERYTHING,) and not filters_devices(hierarchies)):
        return []
    if hierarchies.v2 and "devices" not in hierarchies.v1:
        return [ProgramDevices(v2.directory(path, hierarchies), tuple(rules))]
    place = v1.directory("devices", path, hierarchies, "devices cannot be kept from a container")
    return [ListDevices(place, tuple(rules))]


def _check_memory(path: str, resources: dict[str, Any], hierarchies: Hierarchies) -> None:
    """runc's words and its rule (memory.checkBeforeUpdate of the specification)."""
    memory = resources.get("memory", {})
    if not memory.get("checkBeforeUpdate"):
        return
    from labkit.runtime.cgroups import statistics  # local: nearly no change asks for it

    used = statistics.memory(path, hierarchies)
    for name, words in (("swap", "memory+swap"), ("limit", "memory")):
        limit = memory.get(name) or 0
        if 0 < limit <= used:
            raise ConflictError(f"rejecting {words} limit {limit} <= usage {used}", "end something in the container")


def _refuse(resources: dict[str, Any]) -> None:
    devices = resources.get("devices")
    filtered = devices is not None and tuple(devices) != (EVERYTHING,)
    wanted = [*limits.for_v1(resources), *(["devices"] if filtered else [])]
    if wanted:
        raise NotFoundError(
            f"no cgroups are mounted on this machine, so the limit of {wanted[0]} cannot be set",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )


def filters_devices(hierarchies: Hierarchies) -> bool:
    """Whether a group can be kept from devices here: v1 needs its controller, v2 any kernel since 4.15."""
    return "devices" in hierarchies.v1 or bool(hierarchies.v2)


def delegated(wanted: str, container_id: str, resources: dict[str, Any], hierarchies: Hierarchies) -> tuple[str, Any]:
    """Where the group of a container lies whose owner has no rights over the whole machine (empty for none at all), and
    what it is to be limited in.

    He has a group only where one was handed to him (cgroups(7), "Delegation"): its owner may make groups below it.
    systemd does so on v2 for a user's services; on v1 nobody does as a rule. As runc does, a container then goes
    without, unless it is to have limits.

    KernelError where it is to have limits, and we may make no group. Devices need no rules then: nobody but root can
    make one (mknod(2)), and to filter them takes root, too.
    """
    path = placement.path(wanted, container_id)
    if not wanted and hierarchies.mode == "v2":
        path = _beside_ours(container_id)
    kept = {name: value for name, value in resources.items() if name != "devices"}
    places = directories(path, hierarchies)
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


#: Why a group takes no process: errno -> hint.
_REFUSALS = {
    errno.EOPNOTSUPP: "a group above has processes of its own, so this one takes none (cgroup.type: invalid)",
    errno.ENOSPC: "cpuset: the group has neither processors nor memory nodes",
}


def add_process(path: str, pid: int, hierarchies: Hierarchies) -> None:
    """Move a process into the group, in every hierarchy. KernelError where one of them does not take it.

    The first of some such moves waits 5 to 10 ms for the kernel (see ``doors`` for what does not).
    """
    for directory in directories(path, hierarchies):
        write_kernel_file(f"{directory}/cgroup.procs", str(pid), _REFUSALS)


def enter(doors: list[int]) -> None:
    """Move ourselves, a process with one thread, through ``doors``, and close them. KernelError as ``add_process``."""
    for door in doors:
        try:
            os.write(door, b"0")  # whoever writes
        except OSError as error:
            what = f"echo 0 > {os.readlink(f'/proc/self/fd/{door}')}: {error.strerror}"
            raise KernelError(what, _REFUSALS.get(error.errno or 0, ""), error.errno or 0) from error
        os.close(door)


def remove(path: str, hierarchies: Hierarchies) -> None:
    """Remove the group and those below it, in every hierarchy; what is not there is no error. It is empty by now."""
    for directory in directories(path, hierarchies):
        remove_groups(directory)


def doors(path: str, hierarchies: Hierarchies, beside: int = 0) -> list[int]:
    """Descriptors through which a process can enter the group later (``enter``), from where its files cannot be seen.

    On v1 these are the files ``tasks``: a thread that moves itself need not wait until no process of the machine forks
    or ends, as whoever writes to cgroup.procs does (cgroup_procs_write_start in the kernel; measured on Linux 6.18: 0.1
    against 5 to 10 ms).

    On v2 a container that has handed controllers on to groups of its own (systemd does) takes no more processes into
    the group itself: then it is the group of the process ``beside``, which lies in it.
    """
    places = directories(path, hierarchies)
    if hierarchies.v2 and beside:
        with suppress(OSError):
            if textfile.read(f"{places[-1]}/cgroup.subtree_control").strip():
                places[-1] = _within(path, beside, hierarchies) or places[-1]
    on_v2 = places[-1] if hierarchies.v2 else ""
    files = [f"{place}/{'cgroup.procs' if place == on_v2 else 'tasks'}" for place in places]
    return [os.open(file, os.O_WRONLY | os.O_CLOEXEC) for file in files]


def _within(path: str, pid: int, hierarchies: Hierarchies) -> str:
    """The directory on v2 of the group that the process is in; empty where that is not below ``path``."""
    for line in textfile.read(f"/proc/{pid}/cgroup").splitlines():
        found = line[len("0::") :]
        if line.startswith("0::") and found.startswith(f"{path.rstrip('/')}/"):
            return f"{hierarchies.v2}{found}"
    return ""


#: v2's tree has no controllers of its own: it is meant by no name.
_V2 = ""


def doors_below(path: str, wanted: list[str], hierarchies: Hierarchies) -> list[int]:
    """Descriptors as ``doors`` has them, of groups below the container's own (``exec --cgroup``).

    Each of ``wanted`` is ``PATH`` for all trees, or ``CONTROLLER[,…]:PATH`` for those of v1's controllers, below the
    group ``path``; a tree that none names keeps the group itself.

    UsageError where one cannot be meant, KernelError where there is no such group.
    """
    below = _chosen(wanted)
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


def _chosen(wanted: list[str]) -> dict[str, str]:
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


def pids(path: str, hierarchies: Hierarchies) -> list[int]:
    """The processes in the group and in the groups below it; none where it is not there."""
    found: set[int] = set()
    for directory in directories(path, hierarchies):
        for place, _, files in os.walk(directory):
            if "cgroup.procs" in files:
                try:
                    found.update(int(line) for line in textfile.read(f"{place}/cgroup.procs").split())
                except OSError:  # removed while we read it
                    continue
    found.discard(0)  # a process of a pid namespace that we cannot see
    return sorted(found)


def kill(path: str, hierarchies: Hierarchies, seconds: float = 10.0) -> None:
    """SIGKILL everything in it, until it is empty. On v1 a frozen process dies only when it is thawed."""
    if hierarchies.v2:
        # Linux 5.14: all at once, forks included. The loop below does without, and waits until they are gone.
        with suppress(KernelError, FileNotFoundError):
            write_kernel_file(f"{v2.directory(path, hierarchies)}/cgroup.kill", "1")
    if freezer.is_frozen(path, hierarchies):
        for pid in pids(path, hierarchies):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(KernelError, FileNotFoundError):  # it may be gone by now
            freezer.thaw(path, hierarchies)
    process.kill_all(lambda: pids(path, hierarchies), seconds)
