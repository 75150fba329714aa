"""The journal: what was done, written down before it is done, so that it can be undone after any death.

One JSON object a line. A line is written, then its operation is done: a process that dies in between leaves a line
whose undo finds nothing to do. A power cut needs no fsync(2) here, since the kernel's state dies with it and the
journals of running things lie under /run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable

from labkit import jsontext, log, textfile
from labkit.errors import ConfigError, KernelError, LabkitError
from labkit.operations.base import Operation, from_record, to_record


class Journal:
    """The operations of one thing (a container's run, a network), in the order in which they were begun."""

    def __init__(self, path: str) -> None:
        self.path = path

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
        line = (jsontext.dumps(to_record(operation)) + "\n").encode()
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                before = os.fstat(descriptor).st_size
                if os.write(descriptor, line) < len(line):
                    os.ftruncate(descriptor, before)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise KernelError(
                f"the journal {self.path} cannot be written: {error.strerror}", errno=error.errno or 0
            ) from error

    def lines(self) -> list[str]:
        """Its records as they stand, without a last line that a death cut short: its operation was not begun."""
        try:
            return textfile.read(self.path).split("\n")[:-1]
        except FileNotFoundError:
            return []

    def operations(self) -> list[Operation]:
        """What its records stand for, in their order. ConfigError for one that cannot be read."""
        return [_operation(line) for line in self.lines()]

    def undo(self) -> None:
        """Take everything back, in reverse order, and remove the journal.

        What could not be undone stays in it, what could not even be read (another version of labkit wrote it) does,
        too, and the first such trouble is raised when everything else is done.
        """
        kept: list[str] = []
        first: LabkitError | None = None
        for line in reversed(self.lines()):
            try:
                _undo(line)
            except LabkitError as error:
                kept.insert(0, line)
                first = first or error
        if first is None:
            textfile.remove(self.path)
            return
        textfile.replace(self.path, "".join(f"{line}\n" for line in kept))
        raise first


def _operation(line: str) -> Operation:
    try:
        return from_record(jsontext.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise ConfigError(f"a record of a journal cannot be read ({error}): {line[:200]}", "undo it by hand") from error


def _undo(line: str) -> None:
    operation = _operation(line)
    began = time.monotonic()
    try:
        operation.undo()
    except OSError as error:
        raise KernelError(f"cannot undo '{operation.describe()}': {error.strerror}", errno=error.errno or 0) from error
    if log.is_heard():
        log.emit("undo", where="host", command=operation.describe_undo(), seconds=time.monotonic() - began)


def perform(operation: Operation, where: str, emit: Callable[..., None] = log.emit) -> None:
    """Do an operation and tell the listeners: ``where`` it is done (host or init), the command, the seconds it took."""
    started = time.monotonic()
    operation.do()
    if emit is log.emit and not log.is_heard():
        return
    emit("operation", where=where, command=operation.describe(), seconds=time.monotonic() - started)
