"""Makes a machine's clock agree with this computer's.

A machine that slept (a laptop that was closed, a QEMU that was stopped, libvirt's ``suspend``) goes on where it was,
and so does one that was loaded from its snapshot: it is late for ever, since nothing in it asks for the time. Whoever
opens a connection to it asks it once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import fabric

from labkit import log
from labkit.host.wire.ssh import execute

LIMIT = 1.0
"""Seconds that the clocks may differ."""

_PATIENCE = 60.0
"""Seconds for the machine to say what time it is. It has let us in a moment ago, so it is there, and may be busy."""

_ATTEMPTS = 3

_TELL = "echo ${EPOCHREALTIME:-$(date +%s.%N)}"
"""A variable of bash (5.0): a process would cost 50 ms in an emulated machine."""


@dataclass(frozen=True)
class Reading:
    """The machine's clock, read between two moments of this computer's. All are seconds since the epoch."""

    before: float
    clock: float
    after: float

    @property
    def difference(self) -> float:
        """By how much the clock is ahead (negative: behind) at least; 0 where it may be right."""
        return min(self.clock - self.before, 0.0) + max(self.clock - self.after, 0.0)

    @property
    def took(self) -> float:
        """How long the machine needed to answer."""
        return self.after - self.before

    @property
    def is_clear(self) -> bool:
        """Whether it says if the clock is right. A busy machine may need longer to answer than it is late."""
        return self.took <= LIMIT or abs(self.difference) > LIMIT or 0 <= self.after - self.clock <= LIMIT


def agree(connection: fabric.Connection, machine: str, *, is_fresh: bool = False) -> None:
    """Compare the clocks, set the machine's where they differ by more than ``LIMIT``, and tell the user of it.

    With ``is_fresh`` it was booted or loaded from its snapshot a moment ago, and nobody is surprised that it is late:
    it is set without asking, and not told of.
    InfrastructureError where the machine does not answer. What cannot tell the time is left alone.
    """
    if is_fresh:
        reading = _read(connection, f"date --utc --set=@{time.time():.3f} >/dev/null && {_TELL}")
        # What was sent was late by as long as it was under way.
        if reading is None or (reading.took > LIMIT and not _correct(connection, reading)):
            log.emit("notice", text=f"The clock of the machine {machine} is wrong, and cannot be set.")
        return
    for _ in range(_ATTEMPTS):
        reading = _read(connection, _TELL)
        if reading is None or reading.is_clear:
            break
    if reading is None or abs(reading.difference) <= LIMIT:
        return
    wrong = in_words(reading.difference)
    told = f"was {wrong}: it is set" if _correct(connection, reading) else f"is {wrong}, and cannot be set"
    log.emit("notice", text=f"The clock of the machine {machine} {told}.")


def in_words(difference: float) -> str:
    """``43 s behind``."""
    seconds, side = abs(difference), "ahead" if difference > 0 else "behind"
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 3 * size:
            return f"{seconds / size:.0f} {unit} {side}"
    return f"{seconds:.0f} s {side}"


def _correct(connection: fabric.Connection, reading: Reading) -> bool:
    """Whether the machine's clock, which was read so, is right now.

    By so many seconds, and not to a time that would be over when the machine hears of it. A busy machine needs long to
    start a command, and little to answer: its clock was read just before ``after``.
    """
    now = _read(connection, f"date --set='{reading.after - reading.clock:.3f} seconds' >/dev/null && {_TELL}")
    return now is not None and abs(now.difference) <= LIMIT


def _read(connection: fabric.Connection, command: str) -> Reading | None:
    """Run a command that prints the machine's clock; None where it does not."""
    before = time.time()
    status, output, _ = execute(connection, command, timeout=_PATIENCE)
    after = time.time()
    try:
        # The point is a comma where the machine's language has it so.
        return Reading(before, float(output.decode().replace(",", ".")), after) if status == 0 else None
    except ValueError:
        return None
