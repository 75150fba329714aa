"""The log of a container: what was read from its output, as it was read, in pieces that stand one after the other.

    labkit log 0000000002                     the file's number: the log is turned over when it has grown
    1764267332123456789 O 0000011             a piece: when it was read (ns since 1970), what it is of, how many bytes
    hello world0000011                        the bytes, and their number again, so that it can be read backwards

``O`` and ``E`` are standard output and error where the piece begins a line, ``o`` and ``e`` where it goes on with one.
Lines are looked for when somebody asks for them (show/logs.py), so that writing costs one writev(2) for whatever one
read(2) gave. container.log is written to; container.log.1, .2 … are those before, and no number is used twice, so that
whoever follows the log knows which file comes next.

A writer that was killed leaves a piece without its end: for a reader it is not there, and the next writer cuts it off.
"""

from __future__ import annotations

import os
import time

from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.collections.abc import Callable, Iterator
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import TYPE_CHECKING
from labkit.runtime.text import textfile

if TYPE_CHECKING:
    Position = tuple[int, int]
    """A file's number, and a place in it in bytes. They are in the order of what was written."""

_TITLE = b"labkit log %010d\n"
START = len(_TITLE % 0)
"""Where a file's first piece is."""

_HEAD = b"%019d %c %07d\n"
_HEAD_SIZE = len(_HEAD % (0, b"O", 0))
_TAIL_SIZE = 8
"""The head ends with the same eight bytes as the piece."""
AROUND = _HEAD_SIZE + _TAIL_SIZE
"""What a piece takes besides its bytes."""

LONGEST_PIECE = 1 << 20
_SHORTEST_CUT = 4096
"""Pieces are not cut smaller for the sake of a small file."""
_BLOCK = LONGEST_PIECE + AROUND

_LETTERS = {1: (b"o", b"O"), 2: (b"e", b"E")}
_STREAMS = {letter[0]: (number, begins) for number, both in _LETTERS.items() for begins, letter in enumerate(both)}


@dataclass(frozen=True)
class Limits:
    """How much of a log is kept: so many files of about so many bytes. Those of docker's driver ``local``."""

    size: int = 20_000_000
    files: int = 5


class Piece:
    """``stream`` is 1 or 2, as the descriptor's number; ``time`` is in ns since 1970, ``size`` what it takes in the
    file.
    """

    __slots__ = ("begins", "data", "size", "stream", "time")

    def __init__(self, moment: int, stream: int, begins: bool, data: bytes) -> None:
        self.time, self.stream, self.begins, self.data = moment, stream, begins, data
        self.size = len(data) + AROUND


class LogWriter:
    """Appends to the log. It never fails: a full disk costs what could not be written, not the container."""

    def __init__(self, path: str, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.file = -1
        self.number = self.size = 0
        self.begins = {1: True, 2: True}
        self.longest = min(LONGEST_PIECE, max(limits.size, _SHORTEST_CUT))
        with suppress(OSError):
            self._open()

    def write(self, stream: int, data: memoryview) -> None:
        """What was read from ``stream`` (1 or 2) just now."""
        try:
            for start in range(0, len(data), self.longest):
                self._append(stream, data[start : start + self.longest])
                self.begins[stream] = data[min(start + self.longest, len(data)) - 1] == b"\n"[0]
        except OSError:
            self.begins[stream] = True  # of a line whose beginning is lost, the rest is one

    def _append(self, stream: int, data: memoryview) -> None:
        if self.file < 0:
            self._open()
        elif self.size > START and self.size + len(data) + AROUND > self.limits.size:
            self._turn_over()
        head = _HEAD % (time.time_ns(), _LETTERS[stream][self.begins[stream]], len(data))
        written = os.writev(self.file, [head, data, head[-_TAIL_SIZE:]])
        if written != len(data) + AROUND:
            os.ftruncate(self.file, self.size)
            raise OSError("there is no room for all of it")
        self.size += written

    def _open(self) -> None:
        """Go on with the file that is there, or begin one."""
        self.file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(self.file).st_size
            number = _number_of(self.file)
            if number is None and size >= START:  # another labkit's: it is put aside, and nobody reads it
                os.rename(self.path, f"{self.path}.0")
                self.close()
                self._open()
                return
            if number is None:
                os.ftruncate(self.file, 0)
                number = max([self.number, *_earlier(self.path)]) + 1
                os.write(self.file, _TITLE % number)
                self.number, self.size = number, START
                return
            self.number, self.size = number, _sound_size(self.file, size)
            os.ftruncate(self.file, self.size)
        except OSError:
            self.close()
            raise

    def _turn_over(self) -> None:
        """The file becomes an earlier one, and the earliest goes."""
        self.close()
        if self.limits.files > 1:
            os.rename(self.path, f"{self.path}.{self.number}")
        else:
            os.unlink(self.path)
        # Found and not counted: a death between our two steps must not leave one for ever.
        for number in _earlier(self.path):
            if number <= self.number + 1 - self.limits.files:
                os.unlink(f"{self.path}.{number}")
        self._open()

    def begin_lines(self) -> None:
        """What has no end will have none: its program is through, and another one may follow."""
        self.begins = {1: True, 2: True}

    def close(self) -> None:
        """Write no more."""
        file, self.file = self.file, -1  # also where close(2) fails: its number may be another file's by then
        if file >= 0:
            os.close(file)


def _earlier(path: str) -> list[int]:
    """The numbers of the files that were turned over, in their order."""
    directory, _, name = path.rpartition("/")
    found = [entry[len(name) + 1 :] for entry in textfile.names(directory or ".") if entry.startswith(f"{name}.")]
    return sorted(int(text) for text in found if text.isascii() and text.isdigit())


def _number_of(file: int) -> int | None:
    """From its first line; None where it is not whole, or no line of ours."""
    line = os.pread(file, START, 0)
    digits = line[-11:-1]
    return int(digits) if digits.isdigit() and line == _TITLE % int(digits) else None


def _sound_size(file: int, size: int) -> int:
    """Up to the end of the last whole piece."""
    if size == START or next(_backward(file, size), None):
        return size
    return START + sum(piece.size for piece in _forward(file, START))


def _piece(block: bytes, at: int) -> Piece | None:
    """The one that begins there; None where none does, or not all of it is in the block."""
    head = block[at : at + _HEAD_SIZE]
    moment, kind, length = head[:19], head[20:21], head[22:29]
    if not (moment.isdigit() and length.isdigit() and kind in b"OoEe" and head[-1:] == b"\n"):
        return None
    end = at + _HEAD_SIZE + int(length)
    if block[end : end + _TAIL_SIZE] != head[-_TAIL_SIZE:]:
        return None
    stream, begins = _STREAMS[kind[0]]
    return Piece(int(moment), stream, bool(begins), block[at + _HEAD_SIZE : end])


def _forward(file: int, place: int) -> Iterator[Piece]:
    """The whole pieces from ``place`` to the end of the file."""
    at, block = 0, b""
    while True:
        piece = _piece(block, at)
        if piece is None and at == 0 and block:
            return
        if piece is None:
            place, at, block = place + at, 0, os.pread(file, _BLOCK, place + at)
            if not block:
                return
            continue
        at += piece.size
        yield piece


def _backward(file: int, place: int) -> Iterator[Piece]:
    """The whole pieces from ``place`` to the beginning of the file, the last first."""
    while place > START:
        first = max(START, place - _BLOCK)
        block = os.pread(file, place - first, first)
        at = len(block)
        while True:
            length = block[max(0, at - _TAIL_SIZE) : at][:-1]
            begins = at - AROUND - int(length) if length.isdigit() else -1
            piece = _piece(block, begins) if begins >= 0 else None
            if piece is None or piece.size != at - begins:
                break
            at = begins
            yield piece
        if at == len(block):
            return
        place = first + at


class LogReader:
    """Reads a log, while it is written and turned over."""

    def __init__(self, path: str) -> None:
        self.path = path

    def end(self) -> Position:
        """Where the log ends now."""
        with suppress(FileNotFoundError), kept_open(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)) as file:
            number = _number_of(file)
            if number is not None:
                return number, os.fstat(file).st_size
        return max(_earlier(self.path), default=0) + 1, START

    def pieces(self, start: Position, end: Position | None, more: Callable[[], bool]) -> Iterator[Piece]:
        """From ``start`` on, up to ``end`` where there is one. At the end of what is there ``more`` is asked whether
        more will come; it waits a while before it says so.
        """
        number, place = start
        while end is None or (number, place) < end:
            file = self._open(number)
            if file < 0:
                later = self._after(number)
                if later is None and not more():
                    return
                number, place = (number, place) if later is None else (later, START)
                continue
            with kept_open(file):
                turned_over = False
                while True:
                    for piece in _forward(file, place):
                        place += piece.size
                        yield piece
                        if end is not None and (number, place) >= end:
                            return
                    if turned_over:
                        break
                    # What was written before it was turned over has been written before we look: once more, then.
                    turned_over = not textfile.leads_to(self.path, file)
                    if not turned_over and not more():
                        return
            number, place = number + 1, START

    def backwards(self, end: Position) -> Iterator[tuple[Position, Piece]]:
        """From ``end`` to the beginning: each piece, and where it begins."""
        earlier = [number for number in _earlier(self.path) if number < end[0]]
        for number in (end[0], *reversed(earlier)):
            file = self._open(number)
            if file < 0:
                continue  # removed meanwhile, as the earliest one
            with kept_open(file):
                place = end[1] if number == end[0] else os.fstat(file).st_size
                for piece in _backward(file, place):
                    place -= piece.size
                    yield (number, place), piece

    def _open(self, number: int) -> int:
        """A file by its number, -1 where there is none (any more)."""
        for path in (f"{self.path}.{number}", self.path, f"{self.path}.{number}"):  # it may be turned over just now
            with suppress(FileNotFoundError):
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if _number_of(file) == number:
                    return file
                os.close(file)
        return -1

    def _after(self, number: int) -> int | None:
        """The first file's number after that; None where there is none."""
        for later in (*_earlier(self.path), self.end()[0]):
            if later > number and self._is_there(later):
                return later
        return None

    def _is_there(self, number: int) -> bool:
        file = self._open(number)
        if file >= 0:
            os.close(file)
        return file >= 0
