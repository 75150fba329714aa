"""``labkit update``: other limits for a container that runs; all of them, or none.

What is changed is the group's files and, last, the container's config.json. Each change is in a journal with what was
there before, so that a refused one takes those before it back, and one that was killed half-way is taken back by the
next update or by ``gc``.
"""

from __future__ import annotations

import os
import time

from labkit.errors import ConflictError, KernelError, LabkitError
from labkit.runtime.cgroups import group, limits
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.net.networking import WriteFile
from labkit.runtime.engine.record import eventlog, lease
from labkit.runtime.engine.record.record import UPDATES, Container, running
from labkit.runtime.oci import spec
from labkit.runtime.operations import Journal
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile
from labkit.runtime.text.document import Reader

#: Seconds to wait for another command that changes the same container.
_PATIENCE = 10.0


@dataclass(frozen=True)
class ReplaceFile(WriteFile):
    """Another text in a file of ours, and the one that was there."""

    before: str

    def undo(self) -> None:
        """The old text, if ours is there."""
        with suppress(FileNotFoundError):
            if textfile.read(self.path) == self.text:
                textfile.save(self.path, self.before)


def update(container: Container, wanted: dict[str, Any]) -> None:
    """Change the limits that ``wanted`` names (in the specification's form).

    ConflictError if the container does not run. NotFoundError for a limit that this machine cannot set. KernelError
    where the kernel refuses one. In each case nothing is changed.
    """
    with _locked(container.id):
        running(container, or_paused=True)
        path = f"{container.directory}/{spec.FILE}"
        before = textfile.read(path)
        document = Reader.parse(before, path).object
        resources = limits.merged(document["linux"]["resources"], wanted)
        changed = {name: resources[name] for name in wanted}
        _check(resources)
        document["linux"]["resources"] = resources
        operations = group.change(container.cgroups_path, changed, here())
        journal = _journal(container.id)
        journal.run(operations)
        _replace(journal, ReplaceFile(path, json.dumps(document, indent=1), before))
        os.unlink(journal.path)  # from here on it is done
    eventlog.note("update", container)


def _replace(journal: Journal, record: ReplaceFile) -> None:
    """The record is no change of the kernel's state, so that nobody is told of it; but it is taken back like one."""
    journal.write(record)
    try:
        record.do()
    except KernelError:
        with suppress(LabkitError):  # the first error is the one to read; gc tries the rest again
            journal.undo()
        raise


def _check(resources: dict[str, Any]) -> None:
    """ConflictError where memory and swap together would have a limit, and memory alone a larger one or none."""
    memory = resources.get("memory", {})
    swap, limit = memory.get("swap", -1), memory.get("limit", -1)
    if swap >= 0 and not 0 <= limit <= swap:
        raise ConflictError(
            "the limit of memory and swap together would be less than that of memory alone",
            "change both: --memory and --memory-swap",
        )


def recover_all() -> None:
    """Take back what killed updates have left: a journal, or only the lock."""
    for name in {name.partition(".")[0] for name in textfile.names(UPDATES)}:
        taken = lease.take(name, UPDATES)
        if taken:
            try:
                _journal(name).undo()
            finally:
                taken.release()


def _journal(container_id: str) -> Journal:
    return Journal(f"{UPDATES}/{container_id}.journal")


@contextmanager
def _locked(container_id: str) -> Iterator[None]:
    """Nobody else changes it meanwhile; what a killed update has left is taken back first."""
    deadline = time.monotonic() + _PATIENCE
    while (taken := lease.take(container_id, UPDATES)) is None:
        if time.monotonic() > deadline:
            raise ConflictError("another command changes the same container", "try again in a moment")
        time.sleep(0.02)
    try:
        _journal(container_id).undo()
        yield
    finally:
        taken.release()
