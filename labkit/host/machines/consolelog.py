"""Reads what the machine's console said: the last lines, and those that come."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import NotFoundError, UsageError
from labkit.host.machines.base import Machine

_TAIL = 256 * 1024
"""Bytes at the end of the file that are looked at for the last lines: a whole boot is about 40 KiB."""

_POLL = 0.2

_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\^_=>cM]")
"""ECMA-48's control sequences, and the few escape sequences that a boot prints."""
_NOT_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b[@-Z\\^_=>cM]")


def show(machine: Machine, count: int, *, follow: bool) -> None:
    """Print the last ``count`` lines of the machine's console; with ``follow`` go on until Ctrl-C."""
    file = machine.console_log()
    if file is None or not file.is_file():
        raise NotFoundError(f"The machine “{machine.name}” has no console log yet.", "`invoke up` starts the machine.")
    for line in last_lines(file, count, before_reset=True):
        print(line)
    sys.stdout.flush()
    for text in additions(file) if follow else ():
        sys.stdout.write(text)
        sys.stdout.flush()


def line_count(word: str) -> int:
    """How many lines ``--lines`` asks for; UsageError where that is no number, or a negative one."""
    if not (word.isascii() and word.isdigit()):
        raise UsageError(f"{word!r} is no number of lines.", "Give 0 or more: `invoke logs --lines 500`.")
    return int(word)


def mark_reset(file: Path) -> None:
    """Remember that what is in the log now is from before a reset. The file itself stays whole, for ``invoke logs``."""
    size = file.stat().st_size if file.exists() else 0
    _mark(file).write_text(str(size), encoding="ascii")


def forget_reset(file: Path) -> None:
    """The log is about to be begun anew."""
    _mark(file).unlink(missing_ok=True)


def _mark(file: Path) -> Path:
    """Beside the log: the file that holds its size at the last reset."""
    return file.with_name(f"{file.name}.since")


def _reset_at(file: Path) -> int:
    """The log's size at the last reset; 0 where there was none since it was begun."""
    try:
        return int(_mark(file).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def last_lines(file: Path, count: int, *, before_reset: bool = False) -> list[str]:
    """At most the ``count`` last lines, without line ends.

    Without ``before_reset`` only those since the machine's last start or reset: what it said before that explains
    nothing that went wrong after it.
    """
    if count <= 0:
        return []
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL, 0 if before_reset else min(size, _reset_at(file))))
        return _text(stream.read()).splitlines()[-count:]


def additions(file: Path, deadline: float | None = None) -> Iterator[str]:
    """Text that is added from now on, as it comes, until ``deadline`` (a ``time.monotonic()``; None: until Ctrl-C).

    A file that became shorter was begun anew by the next boot, and is read from its beginning.
    """
    position = file.stat().st_size
    while deadline is None or time.monotonic() < deadline:
        size = file.stat().st_size if file.exists() else 0
        if size < position:
            position = 0
        if size > position:
            with file.open("rb") as stream:
                stream.seek(position)
                new = stream.read(size - position)
            position += len(new)
            yield _text(new)
        time.sleep(_POLL)


def _text(console: bytes) -> str:
    """A serial line ends its lines with CR LF, and may be cut inside a character.

    systemd's colours are kept for a terminal; what moves the cursor or clears a line is not for a log.
    """
    text = console.decode("utf-8", "replace").replace("\r", "")
    return _NOT_COLOUR.sub("", text) if sys.stdout.isatty() and "NO_COLOR" not in os.environ else _ESCAPE.sub("", text)
