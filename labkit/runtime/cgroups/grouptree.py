"""Operations on the cgroup trees: a group is a directory, a limit is a line in a file.

Of limits that hang together it says which is changed first, so that no step between is one that the kernel refuses.
"""

from __future__ import annotations

import errno
import os
import time

from labkit.errors import KernelError, NotFoundError
from labkit.runtime.operations import GoesAlong, Operation
from labkit.runtime.operations.files import write_kernel_file
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class MakeGroup(Operation):
    """``mkdir`` under a controller makes a group; its files appear by themselves."""

    path: str
    parents: tuple[str, ...] = ()
    """Those above it, the lowest first, that go when they are empty: our own, which all containers share (who comes
    first makes it, who goes last removes it), and those that were missing."""

    def describe(self) -> str:
        """As mkdir(1)."""
        return f"mkdir -p {quote(self.path)}"

    def describe_undo(self) -> str:
        """As rmdir(1)."""
        parents = [f"; rmdir --ignore-fail-on-non-empty {quote(parent)}" for parent in self.parents]
        return f"rmdir {quote(self.path)}{''.join(parents)}"

    def do(self) -> None:
        """mkdir(2), a bounded number of times: the end of another container may remove the shared parent just now."""
        for _ in range(50):
            try:
                os.makedirs(self.path, exist_ok=True)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise KernelError(
                    f"the cgroup {self.path} cannot be made: {error.strerror}", _WHY_NOT, error.errno or 0
                ) from error
            return
        raise KernelError(f"mkdir({self.path}): another process removes its parent again and again", errno=errno.ENOENT)

    def undo(self) -> None:
        """rmdir(2), the groups that the container made below it first; then those parents that are empty by now."""
        remove_groups(self.path)
        with suppress(OSError):  # refused as long as another container's group is in it
            for parent in self.parents:
                os.rmdir(parent)


_WHY_NOT = "labkit must be root, and the cgroup file system mounted for writing and handed to us (mount | grep cgroup)"


def remove_groups(path: str) -> None:
    """Remove a group and those below it, which must be empty of processes. KernelError where they are not."""
    with suppress(OSError):  # most have none below them, and to list a group's files takes longer
        os.rmdir(path)
        return
    for place, _, _ in os.walk(path, topdown=False):
        _remove_group(place)


def _remove_group(place: str, seconds: float = 5.0) -> None:
    # A process that has just died keeps its group busy for a moment.
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.rmdir(place)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise KernelError(
                    f"the cgroup {place} cannot be removed: {error.strerror}",
                    "a process still runs in it",
                    error.errno or 0,
                ) from error
            time.sleep(0.01)


@dataclass(frozen=True)
class EnableControllers(GoesAlong):
    """v2: hand controllers to the groups below ``path`` (cgroup.subtree_control). They stay on: others may use them,
    too.
    """

    path: str
    controllers: tuple[str, ...]
    required: tuple[str, ...] = ()
    """Those that a limit needs; the others are handed on where that can be done."""

    def describe(self) -> str:
        """As a shell writes it."""
        return f"echo {quote(self._words(self.controllers))} > {quote(self.path + '/cgroup.subtree_control')}"

    def do(self) -> None:
        """One write, in which a controller that is on already is no error; one write each where that is refused."""
        try:
            self._enable(self.controllers)
        except KernelError:
            for name in self.controllers:
                with suppress(*(() if name in self.required else (KernelError,))):
                    self._enable((name,))

    def _words(self, names: tuple[str, ...]) -> str:
        return " ".join(f"+{name}" for name in names)

    def _enable(self, names: tuple[str, ...]) -> None:
        write_kernel_file(f"{self.path}/cgroup.subtree_control", self._words(names), _WHY_NO_CONTROLLER)


_WHY_NO_CONTROLLER = {
    errno.EBUSY: "a group with processes of its own hands nothing on (cgroup-v2.rst, 'No Internal Process')",
    errno.ENOENT: "the group above does not hand it on",
}


@dataclass(frozen=True)
class InheritCpuset(GoesAlong):
    """v1: a new cpuset group has neither processors nor memory nodes and takes no process; it gets its parent's."""

    path: str
    levels: int = 2
    """How many groups lie below the top of the tree, this one included."""

    def describe(self) -> str:
        """As a shell writes it, from the top of the tree down."""
        copies = [
            f"cat {quote(os.path.dirname(place))}/{name} > {quote(place)}/{name}"
            for place in self._places()
            for name in ("cpuset.cpus", "cpuset.mems")
        ]
        return " && ".join(copies)

    def _places(self) -> list[str]:
        places = [self.path]
        for _ in range(self.levels - 1):
            places.insert(0, os.path.dirname(places[0]))
        return places

    def do(self) -> None:
        """Copy where nothing is set yet."""
        for place in self._places():
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not textfile.read(f"{place}/{name}").strip():
                    write_kernel_file(f"{place}/{name}", textfile.read(f"{os.path.dirname(place)}/{name}"))


@dataclass(frozen=True)
class SetLimit(GoesAlong):
    """A value into one of the group's files."""

    path: str
    """The group's directory; empty until it is known (limits.py knows none)."""
    name: str
    value: str
    asked: str = ""
    """The specification's word for it, for errors."""
    other: tuple[str, ...] = ()
    """Another file and value, where this kernel has not the first."""
    optional: bool = False
    """A missing file is no error: what is asked for is so anyway."""

    def describe(self) -> str:
        """As a shell writes it."""
        place = f"{quote(self.path)}/{self.name}"
        write = f"echo {quote(self.value)} > {place}"
        if self.other:
            name, value = self.other
            return f"if [ -e {place} ]; then {write}; else echo {quote(value)} > {quote(self.path)}/{name}; fi"
        return f"[ ! -e {place} ] || {write}" if self.optional else write

    def chosen(self) -> tuple[str, str]:
        """The file, and the value for it, that this kernel has."""
        if self.other and not os.path.exists(f"{self.path}/{self.name}"):
            return self.other[0], self.other[1]
        return self.name, self.value

    def do(self) -> None:
        """One write. NotFoundError without such a file, KernelError where the value is refused; both name it."""
        name, value = self.chosen()
        hints = {**_WHY_NO_VALUE}
        if name.startswith("memory."):
            hints[errno.EBUSY] = "the group uses more than that, and the kernel could not take it back"
        what = f"{_named(self.asked)} cannot be set" if self.asked else ""
        try:
            write_kernel_file(f"{self.path}/{name}", value or "\n", hints, what)
        except FileNotFoundError:
            if not self.optional:
                raise self._missing(name) from None

    def _missing(self, name: str) -> NotFoundError:
        if self.asked.startswith("unified"):
            return NotFoundError(
                f"{self.asked} can't be set: there is no {self.path}/{name}",
                "the file names are those of Documentation/admin-guide/cgroup-v2.rst",
            )
        what = _named(self.asked) + " cannot be set" if self.asked else "that limit cannot be set"
        return NotFoundError(
            f"this machine's cgroups have no {name}, so {what}",
            f"the controller {name.partition('.')[0]} is not in this kernel, or not handed down "
            "(cgroup.subtree_control)",
        )


#: Controller -> its limits, in the order in which they are written, in a group that is yet to be said.
Settings = dict[str, list[SetLimit]]


def add(
    settings: Settings,
    controller: str,
    name: str,
    value: object,
    asked: str,
    other: tuple[str, ...] = (),
    optional: bool = False,
) -> None:
    """Put a limit behind the others of its controller."""
    settings.setdefault(controller, []).append(SetLimit("", name, str(value), asked, other, optional))


_WHY_NO_VALUE = {
    errno.EINVAL: "the kernel does not take this value: is it in the file's range, and in that of the group above?",
    errno.ENODEV: "there is no such device, or its driver has no such limit",
}


def _named(what: str) -> str:
    return what if what.startswith("unified") else f"linux.resources.{what}"


@dataclass(frozen=True)
class ChangeSetting(SetLimit):
    """Another value in a file of a group that is in use. ``before`` is what was read when this was planned."""

    before: str = ""

    def undo(self) -> None:
        """Write what was there, if the group is still there."""
        with suppress(FileNotFoundError):
            write_kernel_file(f"{self.path}/{self.name}", self.before or "\n")


def changes(path: str, settings: list[SetLimit]) -> list[ChangeSetting]:
    """What writes one controller's settings, as far as they differ, into a group that is in use, with the way back.

    A controller that is handed on only now begins with what its files say then; nothing in them is a limit.
    """
    found = []
    for setting in (replace(each, path=path) for each in settings):
        name, value = setting.chosen()
        try:
            before = current(path, name)
        except FileNotFoundError:
            if setting.optional:
                continue
            before = ""
        # A line for one device of many. (cpu.max is two words, too: 50000 100000.)
        if " " in value and not value.partition(" ")[0].isdigit() and not value.startswith("max "):
            before = _line_before(name, value, before)
        if value != before:
            found.append(ChangeSetting(path, name, value, setting.asked, (), setting.optional, before))
    return in_order(found)


def _line_before(name: str, value: str, text: str) -> str:
    """What to write to take ``value`` back, where the file says ``text`` now: the device's own line, or no limit."""
    key, _, words = value.partition(" ")
    for line in text.splitlines():
        if line.partition(" ")[0] == key:
            return line
    if name == "io.max":
        return f"{key} {words.partition('=')[0]}=max"
    if name == "rdma.max":
        return f"{key} hca_handle=max hca_object=max"
    return f"{key} default" if name == "io.weight" else f"{key} 0"


_MEMORY, _BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
_PERIOD, _QUOTA = "cpu.cfs_period_us", "cpu.cfs_quota_us"
_BURSTS = ("cpu.cfs_burst_us", "cpu.max.burst")
_MAXIMA = (_QUOTA, "cpu.max")


def in_order(planned: list[ChangeSetting]) -> list[ChangeSetting]:
    """The changes of one controller, those of each pair below in the right order."""
    found = {change.name: number for number, change in enumerate(planned)}
    for first, second, swapped in (
        (_MEMORY, _BOTH, _both_first),
        (_PERIOD, _QUOTA, _quota_first),
        *((quota, burst, _burst_first) for quota in _MAXIMA for burst in _BURSTS),
    ):
        if first in found and second in found and swapped(planned[found[first]], planned[found[second]]):
            one, other = found[first], found[second]
            planned[one], planned[other] = planned[other], planned[one]
            found[first], found[second] = other, one
    return planned


def _both_first(memory: ChangeSetting, both: ChangeSetting) -> bool:
    """Memory and swap together must never be less than memory alone (cgroup-v1/memory.rst): what grows goes first."""
    return both.value == "-1" or int(both.value) > int(memory.before or 0)


def _quota_first(period: ChangeSetting, quota: ChangeSetting) -> bool:
    """The share of the processors must never be more than the group's above: the smaller step between is taken.

    No quota is never too much: such a group has what the one above has.
    """
    if "-1" in (quota.before, quota.value) or not (quota.before and period.before):
        return quota.value == "-1"
    return int(quota.before) * int(period.before) > int(quota.value) * int(period.value)


def _burst_first(_: ChangeSetting, burst: ChangeSetting) -> bool:
    """What may be saved up must never be more than the quota: a smaller burst goes first, a larger one last."""
    return int(burst.value) < int(burst.before or 0)


def current(directory: str, name: str) -> str:
    """What a group's file says now. FileNotFoundError where it is not there."""
    return textfile.read(f"{directory}/{name}").strip()


def missing(controller: str, version: str, what: str) -> NotFoundError:
    """The error for something that needs a controller that this machine has not; ``what`` is what cannot be done."""
    return NotFoundError(
        f"this machine has no {controller} controller on cgroup {version}, so {what}",
        "see the list in /proc/cgroups; from kernel 6.12 on Debian builds v1 without memory and cpuset"
        if version == "v1"
        else "see /sys/fs/cgroup/cgroup.controllers; 'cgroup_disable=' on the kernel's command line may have taken it",
    )
