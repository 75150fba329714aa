"""The journal: what was done, written down before it is done, so that it can be undone after any death.

One JSON object a line. A line is written, then its operation is done: a process that dies in between leaves a line
whose undo finds nothing to do. A power cut needs no fsync(2) here, since the kernel's state dies with it and the
journals of running things lie under /run.
"""

from __future__ import annotations

import errno
import os
import time

from labkit import log
from labkit.errors import ConfigError, KernelError, LabkitError
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.operations.base import Operation, from_record, to_record
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Callable, Iterable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.text import textfile


class Journal:
    """The operations of one thing (a container's run, a network), in the order in which they were begun."""

    def __init__(self, path: str) -> None:
        self.path = path

    def run(self, operations: Iterable[Operation]) -> None:
        """``add``; if one fails, undo all that this journal holds, in reverse order, and raise its error."""
        try:
            self.add(operations)
        except BaseException:
            with suppress(LabkitError):  # the first error is the one to read; gc tries the rest again
                self.undo()
            raise

    def add(self, operations: Iterable[Operation]) -> None:
        """Do them one by one. If one fails those before it stay: an undo may need locks that the caller must free.

        Those that are ``apart`` are begun in their turn, and waited for at the end, or before one that ``needs_all``.
        """
        under_way: list[Callable[[], None]] = []
        try:
            for operation in operations:
                while operation.needs_all and under_way:
                    under_way.pop()()
                self.write(operation)
                if operation.is_apart:
                    under_way.append(_timed("operation", operation.begin(), operation.describe))
                else:
                    perform(operation, "host")
            while under_way:
                under_way.pop()()
        except BaseException:
            for wait in under_way:
                with suppress(LabkitError):
                    wait()
            raise

    def run_sections(self, sections: list[Section]) -> None:
        """``add`` sections as one list. Those that have a journal of their own come first, each run by that one."""
        for section in sections:
            if section.journal:
                section.journal.run(section.operations)
        self.add([operation for section in sections if not section.journal for operation in section.operations])

    def write(self, operation: Operation) -> None:
        """Note that an operation is about to be done. One write(2) with O_APPEND: whole, or not there."""
        line = (json.dumps(to_record(operation)) + "\n").encode()
        with kernel_error(f"the journal {self.path} cannot be written"), kept_open(self._opened()) as file:
            written = os.write(file, line)
            if written < len(line):
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def lines(self) -> list[str]:
        """Its records as they stand, without a last line that a death cut short: its operation was not begun."""
        try:
            return textfile.read(self.path).split("\n")[:-1]
        except FileNotFoundError:
            return []

    def operations(self) -> list[Operation]:
        """What its records stand for, in their order. ConfigError for one that cannot be read."""
        return [_operation(line) for line in self.lines()]

    def describe_undo(self) -> list[str]:
        """The commands that take back what it holds, the last first. ConfigError for a record that is none."""
        return [line for operation in reversed(self.operations()) for line in operation.describe_undo().splitlines()]

    def undo(self) -> None:
        """Take everything back, in reverse order, and remove the journal.

        Those that are ``apart`` are begun before all others, and waited for in their turn.
        What could not be undone stays in it, what could not even be read (another version of labkit wrote it) does,
        too, and the first such trouble is raised when everything else is done.
        """
        kept: list[str] = []
        first: LabkitError | None = None
        for undoing in reversed([_Undoing(line) for line in self.lines()]):
            try:
                undoing.finish()
            except LabkitError as error:
                kept.insert(0, undoing.line)
                first = first or error
        if first is None:
            textfile.remove(self.path)
            return
        textfile.replace(self.path, "".join(f"{line}\n" for line in kept))
        raise first


@dataclass(frozen=True)
class Section:
    """Operations that belong together, under a title for whoever reads them as a script. There may be none."""

    title: str
    operations: list[Operation]
    journal: Journal | None = None
    """The one that takes them back, where that is not the one of whoever does them."""


def _operation(line: str) -> Operation:
    try:
        return from_record(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise ConfigError(f"a record of a journal cannot be read ({error}): {line[:200]}", "undo it by hand") from error


class _Undoing:
    """A record that is being undone. One that is apart is begun now; errors wait for their turn, ``finish``."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.operation: Operation | None = None
        self.wait: Callable[[], None] | None = None
        with suppress(LabkitError, OSError):
            self.operation = _operation(line)
            if self.operation.is_apart:
                self.wait = _timed("undo", self.operation.begin_undo(), self.operation.describe_undo)

    def finish(self) -> None:
        """Undo it, or wait until it is undone."""
        operation = self.operation or _operation(self.line)
        try:
            (self.wait or _timed("undo", operation.undo, operation.describe_undo))()
        except OSError as error:
            message = f"cannot undo '{operation.describe()}': {error.strerror}"
            raise KernelError(message, errno=error.errno or 0) from error


def _timed(
    event: str,
    act: Callable[[], None],
    describe: Callable[[], str],
    where: str = "host",
    emit: Callable[..., None] = log.emit,
) -> Callable[[], None]:
    """``act``, which tells the listeners how long it took from now on."""
    started = time.monotonic()

    def act_and_tell() -> None:
        act()
        if emit is not log.emit or log.is_heard():
            emit(event, where=where, command=describe(), seconds=time.monotonic() - started)

    return act_and_tell


def perform(operation: Operation, where: str, emit: Callable[..., None] = log.emit) -> None:
    """Do an operation and tell the listeners: ``where`` it is done (host or init), the command, the seconds it took."""
    _timed("operation", operation.do, operation.describe, where, emit)()
