"""``labkit logs``: the lines of a container's log, and which of them are shown.

A line is what its stream had from the piece or the newline that begins it to the next newline, through as many pieces
as it takes. Its time is that of the piece in which it begins, and lines are in the order of their beginnings.
"""

from __future__ import annotations

import sys
import time

from labkit.errors import ConflictError
from labkit.runtime.engine.record import lease
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.shim.logfile import START, LogReader
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import TYPE_CHECKING, BinaryIO
from labkit.runtime.text import timestamps

if TYPE_CHECKING:
    from labkit.runtime.engine.shim.logfile import Piece, Position

_PAUSE = 0.1
_HELD = 1 << 16
"""Bytes of a line whose end has not come that are held back, so that its time does not stand in another one."""


@dataclass(frozen=True)
class Choice:
    """Which lines are shown, and how."""

    tail: int | None = None
    """The last so many of those that are there."""
    since: float | None = None
    until: float | None = None
    """Seconds since the epoch; with ``follow`` nothing later is waited for."""
    timestamps: bool = False


def show(container: Container, follow: bool, choice: Choice) -> None:
    """Write the log to our own standard output and error, as the container did; with ``follow`` until it has ended.

    ConflictError where nothing is kept.
    """
    if not container.log_path:
        raise ConflictError(
            f"the container {container.name} was made with --log-driver none, so there is nothing to read",
            f"see what it writes from now on: labkit attach {container.name}",
        )
    print_log(LogReader(container.log_path), choice, (lambda: lease.is_held(container.id)) if follow else None)


def print_log(reader: LogReader, choice: Choice, is_written: Callable[[], bool] | None = None) -> None:
    """The same for any log. ``is_written`` tells whether more may come, and is given where that is waited for."""
    end = reader.end()
    start, skip = _start(reader, end, choice)
    shower = _Shower(choice, skip, torn_lines=start == _FIRST)
    more = _more(is_written, choice.until, shower.flush) if is_written else bool
    for piece in reader.pieces(start, None if is_written else end, more):
        shower.show(piece)
    shower.end()


_FIRST: Position = (0, START)


def _more(is_written: Callable[[], bool], until: float | None, flush: Callable[[], None]) -> Callable[[], bool]:
    """For LogReader.pieces: until the container's shim has written the last, or nothing is of interest any more."""
    over = False

    def more() -> bool:
        nonlocal over
        flush()
        if over:
            return False
        over = not is_written() or (until is not None and time.time() > until)
        time.sleep(0 if over else _PAUSE)
        return True  # what came while we looked is read, too

    return more


def _start(reader: LogReader, end: Position, choice: Choice) -> tuple[Position, int]:
    """Where to begin to read, and how many of the lines that begin from there on are not among the last ones."""
    if choice.tail is None:
        return _FIRST, 0
    if choice.tail == 0:
        return end, 0
    found, start = 0, end
    for place, piece in reader.backwards(end):
        if choice.until is not None and piece.time > _nanoseconds(choice.until, 999):
            continue
        if choice.since is not None and piece.time < _nanoseconds(choice.since):
            return start, 0
        found += _beginnings(piece)
        if found >= choice.tail:
            return place, found - choice.tail
        start = place
    return _FIRST, 0


def _beginnings(piece: Piece) -> int:
    """How many lines begin in it."""
    return piece.data.count(b"\n") - piece.data.endswith(b"\n") + piece.begins


def _nanoseconds(moment: float, more: int = 0) -> int:
    """A moment of the command line is one of microseconds, and ``more`` the rest of that one."""
    return round(moment * 1e6) * 1000 + more


class _Shower:
    """``skip`` lines are passed over first. ``torn_lines``: lines whose beginnings the log has lost are lines, too."""

    def __init__(self, choice: Choice, skip: int, torn_lines: bool) -> None:
        self.timestamps = choice.timestamps
        self.skip = skip
        self.since = 0 if choice.since is None else _nanoseconds(choice.since)
        self.until = None if choice.until is None else _nanoseconds(choice.until, 999)
        self.outputs: dict[int, BinaryIO] = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
        self.last = 1
        self.unknown = {1, 2} if torn_lines else set()
        """Streams of which nothing was seen yet: their first piece counts as the beginning of a line."""
        self.showing = {1: False, 2: False}
        """Whether the line that is not through is one that is shown."""
        self.held = {1: b"", 2: b""}

    def show(self, piece: Piece) -> None:
        """Write what is to be shown of it."""
        stream, data = piece.stream, piece.data
        begins = piece.begins or stream in self.unknown
        self.unknown.discard(stream)
        cut = 0 if begins else data.find(b"\n") + 1 or len(data)  # where a line begins
        rest = data[:cut] if self.showing[stream] else b""
        if cut < len(data):
            new = self._wanted(piece.time, data[cut:])
            self.showing[stream] = bool(new)
            if self.timestamps and new:
                new = _stamped(new, piece.time)
            rest += new
        if rest:
            self._write(stream, rest)

    def _wanted(self, moment: int, lines: bytes) -> bytes:
        """Those that are shown of lines that begin at the same moment."""
        if moment < self.since or (self.until is not None and moment > self.until):
            return b""
        while self.skip and lines:
            self.skip -= 1
            lines = lines.partition(b"\n")[2]
        return lines

    def _write(self, stream: int, data: bytes) -> None:
        """In the order of the two streams, on one terminal, too."""
        if self.timestamps:
            data = self.held[stream] + data
            end = len(data) if len(data) > _HELD else data.rfind(b"\n") + 1
            data, self.held[stream] = data[:end], data[end:]
        if data and stream != self.last:
            self.flush()
            self.last = stream
        self.outputs[stream].write(data)

    def flush(self) -> None:
        """Let the reader see it."""
        self.outputs[self.last].flush()

    def end(self) -> None:
        """Write what is held back: its end will not come, or not now."""
        self.timestamps = False
        for stream, data in self.held.items():
            if data:
                self._write(stream, data)
        self.flush()


def _stamped(lines: bytes, moment: int) -> bytes:
    """Each line behind its time."""
    stamp = f"{timestamps.of_nanoseconds(moment)} ".encode()
    end = len(lines) - lines.endswith(b"\n")
    return stamp + lines[:end].replace(b"\n", b"\n" + stamp) + lines[end:]
