"""Operations on the cgroup trees: a group is a directory, a limit is a line in a file."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from shlex import quote

from labkit.errors import KernelError, NotFoundError
from labkit.operations import Operation
from labkit.operations.files import write_kernel_file


class MakeGroup(Operation):
    """``mkdir`` under a controller makes a group; its files appear by themselves.

    The parent is shared by all containers: who comes first makes it, who goes last removes it.
    """

    path: str

    def describe(self) -> str:
        """As mkdir(1)."""
        return f"mkdir -p {quote(self.path)}"

    def describe_undo(self) -> str:
        """As rmdir(1)."""
        return f"rmdir {quote(self.path)}; rmdir --ignore-fail-on-non-empty {quote(os.path.dirname(self.path))}"

    def do(self) -> None:
        """mkdir(2), a bounded number of times: the end of another container may remove the shared parent just now."""
        for _ in range(50):
            try:
                os.makedirs(self.path, exist_ok=True)
            except FileNotFoundError:
                continue
            return
        raise KernelError(f"mkdir({self.path}): another process removes its parent again and again", errno=errno.ENOENT)

    def undo(self) -> None:
        """rmdir(2), the groups that the container made below it first; then the shared parent, if this was the last."""
        for place, _, _ in os.walk(self.path, topdown=False):
            _remove_group(place)
        with contextlib.suppress(OSError):  # refused as long as another container's group is in it
            os.rmdir(os.path.dirname(self.path))


def _remove_group(place: str, seconds: float = 5.0) -> None:
    # A process that has just died keeps its group busy for a moment.
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.rmdir(place)
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
        else:
            return


class EnableControllers(Operation):
    """v2: hand controllers to the groups below ``path`` (cgroup.subtree_control). They stay on: others may use them,
    too.
    """

    path: str
    controllers: tuple[str, ...]

    def describe(self) -> str:
        """As a shell writes it."""
        words = " ".join(f"+{name}" for name in self.controllers)
        return f"echo {quote(words)} > {quote(self.path + '/cgroup.subtree_control')}"

    def do(self) -> None:
        """One write; a controller that is on already is no error."""
        write_kernel_file(f"{self.path}/cgroup.subtree_control", " ".join(f"+{name}" for name in self.controllers))

    def undo(self) -> None:
        """Nothing."""


class InheritCpuset(Operation):
    """v1: a new cpuset group has neither processors nor memory nodes and takes no process; it gets its parent's."""

    path: str

    def describe(self) -> str:
        """As a shell writes it, from the top of the tree down."""
        copies = [
            f"cat {quote(os.path.dirname(place))}/{name} > {quote(place)}/{name}"
            for place in self._places()
            for name in ("cpuset.cpus", "cpuset.mems")
        ]
        return " && ".join(copies)

    def _places(self) -> list[str]:
        return [os.path.dirname(self.path), self.path]

    def do(self) -> None:
        """Copy where nothing is set yet."""
        for place in self._places():
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not Path(place, name).read_text(encoding="ascii").strip():
                    write_kernel_file(f"{place}/{name}", Path(os.path.dirname(place), name).read_text(encoding="ascii"))

    def undo(self) -> None:
        """Nothing: the values go with the group."""


class SetLimit(Operation):
    """A value into one of the group's files."""

    path: str
    name: str
    value: str

    def describe(self) -> str:
        """As a shell writes it."""
        return f"echo {quote(self.value)} > {quote(self.path)}/{self.name}"

    def do(self) -> None:
        """One write."""
        try:
            write_kernel_file(f"{self.path}/{self.name}", self.value)
        except FileNotFoundError:
            raise NotFoundError(
                f"this machine's cgroups have no {self.name}, so that limit cannot be set",
                "the controller is not in this kernel, or not handed down (cgroup.subtree_control)",
            ) from None

    def undo(self) -> None:
        """Nothing: the value goes with the group."""


class ChangeSetting(SetLimit):
    """Another value in a file of a group that is in use. ``before`` is what was read when this was planned."""

    before: str = ""

    def undo(self) -> None:
        """Write what was there, if the group is still there."""
        with contextlib.suppress(FileNotFoundError):
            write_kernel_file(f"{self.path}/{self.name}", self.before or "\n")


def current(directory: str, name: str) -> str:
    """What a group's file says now. FileNotFoundError where it is not there."""
    return Path(directory, name).read_text(encoding="ascii").strip()


def missing(controller: str, version: str, what: str) -> NotFoundError:
    """The error for something that needs a controller that this machine has not; ``what`` is what cannot be done."""
    return NotFoundError(
        f"this machine has no {controller} controller on cgroup {version}, so {what}",
        "see the list in /proc/cgroups; from kernel 6.12 on Debian builds v1 without memory and cpuset"
        if version == "v1"
        else "see /sys/fs/cgroup/cgroup.controllers; 'cgroup_disable=' on the kernel's command line may have taken it",
    )
