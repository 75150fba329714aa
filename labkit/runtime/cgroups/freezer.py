"""Pausing a group: every process of it stops where it is, and notices nothing.

v1 has a controller for it (``freezer.state``), v2 a file in every group (``cgroup.freeze``). Whether a container is
paused is asked of the kernel and written down nowhere, so that no death of a command can make it untrue.
"""

from __future__ import annotations

import os
import time

from labkit.errors import KernelError
from labkit.runtime.cgroups import v1, v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import write_kernel_file
from labkit.runtime.operations.journal import perform
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile

#: Seconds for all processes of a group to stop; one that waits for a device may take its time.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Freeze(Operation):
    """Freeze (or thaw) the group that has this file."""

    file: str
    frozen: bool = True

    def describe(self) -> str:
        """As a shell writes it."""
        return f"echo {self._word(self.frozen)} > {quote(self.file)}"

    def describe_undo(self) -> str:
        """The other way."""
        return f"echo {self._word(not self.frozen)} > {quote(self.file)}"

    def do(self) -> None:
        """Write it, and wait until it is so. KernelError, and a group that runs on, where it does not come to that."""
        self._write(self.frozen)
        deadline = time.monotonic() + _PATIENCE
        while not self._is_so():
            if time.monotonic() > deadline:
                self._write(False)
                raise KernelError(
                    "not all processes of the container can be stopped, so it runs on",
                    "one of them waits for a device: see the state D in ps",
                )
            time.sleep(0.01)
            # v1 may miss a process that was just forked; it looks again when it is told again (freezer-subsystem.rst).
            self._write(self.frozen)

    def undo(self) -> None:
        """The other way, if the group is still there."""
        if os.path.exists(self.file):
            self._write(not self.frozen)

    def _word(self, frozen: bool) -> str:
        v1_words = {True: "FROZEN", False: "THAWED"}
        return v1_words[frozen] if self.file.endswith(".state") else str(int(frozen))

    def _write(self, frozen: bool) -> None:
        write_kernel_file(self.file, self._word(frozen))

    def _is_so(self) -> bool:
        if self.file.endswith(".state"):
            return textfile.read(self.file).strip() == self._word(self.frozen)
        events = textfile.read(f"{os.path.dirname(self.file)}/cgroup.events")
        return f"frozen {self._word(self.frozen)}\n" in events


def operation(path: str, hierarchies: Hierarchies, frozen: bool) -> Freeze:
    """What freezes or thaws the group ``path``. NotFoundError where this machine has no freezer."""
    # A hybrid machine without v1's freezer has that of its v2 tree.
    if hierarchies.v2 and "freezer" not in hierarchies.v1:
        return Freeze(f"{v2.directory(path, hierarchies)}/cgroup.freeze", frozen)
    return Freeze(f"{v1.directory('freezer', path, hierarchies, 'it cannot be paused')}/freezer.state", frozen)


def is_frozen(path: str, hierarchies: Hierarchies) -> bool:
    """Whether the group is frozen, or was told to be; no where there is no such group or no freezer."""
    if not hierarchies.v2 and "freezer" not in hierarchies.v1:
        return False
    try:
        text = textfile.read(operation(path, hierarchies, True).file).strip()
    except OSError:
        return False
    return text not in ("THAWED", "0", "")


def thaw(path: str, hierarchies: Hierarchies) -> None:
    """Let it go on, if it is frozen."""
    if is_frozen(path, hierarchies):
        perform(operation(path, hierarchies, False), "host")


@contextmanager
def let_go(pids: list[int], hierarchies: Hierarchies) -> Iterator[None]:
    """On v1, where nothing dies that is frozen: whatever freezes one of these processes is thawed meanwhile, also a
    group that is not ours. (v2's frozen processes die.)
    """
    freezing = [Freeze(f"{place}/freezer.state", False) for place in _freezing(pids, hierarchies)]
    try:
        for operation_ in freezing:
            with suppress(KernelError, FileNotFoundError):
                perform(operation_, "host")
        yield
    finally:
        for operation_ in freezing:
            with suppress(KernelError, FileNotFoundError):
                operation_.undo()


def _freezing(pids: list[int], hierarchies: Hierarchies) -> list[str]:
    """The directories of those groups that were told to freeze, and hold one of these or a group that does; the
    uppermost first, since below a frozen one nothing thaws (freezer-subsystem.rst).
    """
    found: set[str] = set()
    top = hierarchies.v1.get("freezer", "")
    for pid in pids if top else []:
        try:
            lines = textfile.read(f"/proc/{pid}/cgroup").splitlines()
        except OSError:  # it has ended
            continue
        path = next((line.split(":", 2)[2] for line in lines if ":freezer:" in line), "/")
        while path != "/" and "/../" not in path:  # that would be outside of our cgroup namespace
            place = f"{top}{path}"
            with suppress(OSError):
                if textfile.read(f"{place}/freezer.self_freezing").strip() == "1":
                    found.add(place)
            path = os.path.dirname(path)
    return sorted(found)
