"""The journal: what was done, written down before it is done, so that it can be undone after any death.

One JSON object a line. A line is written, then its operation is done: a process that dies in between leaves a line
whose undo finds nothing to do. A power cut needs no fsync(2) here, since the kernel's state dies with it and the
journals of running things lie under /run.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from labkit import log
from labkit.errors import LabkitError
from labkit.operations.base import Operation, Record, from_record, to_record


class Journal:
    """The operations of one thing (a container's run, a network), in the order in which they were begun."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def run(self, operations: Iterable[Operation]) -> None:
        """Do them one by one; if one fails, undo all that this journal holds, in reverse order, and raise its error."""
        try:
            for operation in operations:
                self.write(operation)
                perform(operation, "host")
        except BaseException:
            with contextlib.suppress(LabkitError):  # the first error is the one to read; gc tries the rest again
                self.undo()
            raise

    def write(self, operation: Operation) -> None:
        """Note that an operation is about to be done. One write(2) with O_APPEND: whole, or not there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(to_record(operation)) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def operations(self) -> list[Operation]:
        """What it holds, without a last line that a death cut short: its operation was not begun."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        records: list[Record] = [json.loads(line) for line in text.split("\n")[:-1]]
        return [from_record(record) for record in records]

    def undo(self) -> None:
        """Take everything back, in reverse order, and remove the journal. What could not be undone stays in it, and is
        raised.
        """
        failed: list[Operation] = []
        error: LabkitError | None = None
        for operation in reversed(self.operations()):
            log.emit("undo", command=operation.describe())
            try:
                operation.undo()
            except LabkitError as caught:
                failed.insert(0, operation)
                error = caught
        if error is None:
            self.path.unlink(missing_ok=True)
            return
        rest = self.path.with_suffix(".new")
        rest.write_text("".join(json.dumps(to_record(operation)) + "\n" for operation in failed), encoding="utf-8")
        rest.replace(self.path)
        raise error


def perform(operation: Operation, where: str, emit: Callable[..., None] = log.emit) -> None:
    """Do an operation and tell the listeners: ``where`` it is done (host or init), the command, the seconds it took."""
    started = time.monotonic()
    operation.do()
    emit("operation", where=where, command=operation.describe(), seconds=time.monotonic() - started)
