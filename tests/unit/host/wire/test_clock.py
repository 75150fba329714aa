"""Comparing the clocks, with a program in `date`'s place that has a clock of its own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshserver import ShellServer
from standins import POSIX_ONLY, make_program

from labkit import log
from labkit.host.wire import clock
from labkit.host.wire.clock import Reading


class Computer:
    """A machine whose clock differs from this computer's."""

    def __init__(self, server: ShellServer, directory: Path) -> None:
        self.server = server
        self._file = directory / "differs-by"
        self._fixed = directory / "fixed"
        # It tells the real clock and so many seconds more. What --set is given never reaches the real clock.
        script = f"""
by=$(cat "{self._file}")
sum() {{ awk -v a="$1" -v b="$2" 'BEGIN {{ printf "%.3f\\n", a + b }}'; }}
case "$*" in
    *--set*) [ -e "{self._fixed}" ] && exit 1 ;;
esac
case "$*" in
    *--set=@*) echo 0 > "{self._file}" ;;
    *--set=*seconds) given="$*"; given=${{given#*--set=}}; sum "$by" "${{given% seconds}}" > "{self._file}" ;;
    *) sum "$(/bin/date +%s.%N)" "$by" ;;
esac
"""
        make_program(directory, "date", script)

    @property
    def differs_by(self) -> float:
        return float(self._file.read_text())

    @differs_by.setter
    def differs_by(self, seconds: float) -> None:
        self._file.write_text(f"{seconds}\n")

    def refuse(self) -> None:
        """From now on its clock cannot be set."""
        self._fixed.touch()


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Computer]:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(clock, "_TELL", "date +%s.%N")  # bash's variable is this computer's own clock
    with ShellServer() as server:
        yield Computer(server, tmp_path)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the user is told."""
    texts: list[str] = []
    stop = log.listen(lambda event: texts.append(event["text"]) if event["event"] == "notice" else None)
    yield texts
    stop()


@POSIX_ONLY
@pytest.mark.parametrize(("seconds", "side"), [(-50, "behind"), (50, "ahead")])
def test_a_clock_that_is_wrong_is_set_and_told_of(computer: Computer, told: list[str], seconds: int, side: str) -> None:
    computer.differs_by = seconds
    clock.agree(computer.server.connection(), "default")
    assert abs(computer.differs_by) < clock.LIMIT
    (text,) = told
    assert re.fullmatch(rf"The clock of the machine default was (4|5)\d s {side}: it is set\.", text)


@POSIX_ONLY
def test_a_clock_that_is_right_costs_one_command(computer: Computer, told: list[str]) -> None:
    computer.differs_by = 0
    clock.agree(computer.server.connection(), "default")
    assert (len(computer.server.commands), told) == (1, [])


@POSIX_ONLY
def test_after_a_snapshot_it_is_set_unasked(computer: Computer, told: list[str]) -> None:
    computer.differs_by = -86400
    clock.agree(computer.server.connection(), "default", is_fresh=True)
    assert abs(computer.differs_by) < clock.LIMIT
    assert computer.server.commands[0].startswith("date --utc --set=@"), "it is not asked first"
    assert told == []


@POSIX_ONLY
def test_a_clock_that_cannot_be_set_is_told_of(computer: Computer, told: list[str]) -> None:
    computer.differs_by = -86400 * 5
    computer.refuse()
    for is_fresh in (False, True):
        clock.agree(computer.server.connection(), "default", is_fresh=is_fresh)
    assert told == [
        "The clock of the machine default is 5 days behind, and cannot be set.",
        "The clock of the machine default is wrong, and cannot be set.",
    ]


@POSIX_ONLY
def test_a_machine_without_a_clock_is_left_alone(
    computer: Computer, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may log in to mend it."""
    for tell in ("echo nothing", "false"):
        monkeypatch.setattr(clock, "_TELL", tell)
        clock.agree(computer.server.connection(), "default")
    assert (len(computer.server.commands), told) == (2, [])


@POSIX_ONLY
def test_this_computers_shell_tells_the_time() -> None:
    with ShellServer() as server:
        reading = clock._read(server.connection(), clock._TELL)
    assert reading is not None
    assert abs(reading.difference) <= clock.LIMIT


@POSIX_ONLY
def test_a_machine_that_took_long_to_hear_of_it_is_corrected(computer: Computer, told: list[str]) -> None:
    """The time that it was told is over by then."""
    computer.differs_by = -3
    now = time.time()
    assert clock._correct(computer.server.connection(), Reading(now - 5, now - 3, now))
    assert (abs(computer.differs_by) < clock.LIMIT, told) == (True, [])


@pytest.mark.parametrize(
    ("before", "its", "after", "difference", "is_clear"),
    [
        (10, 10.5, 11, 0, True),
        (10, 8, 11, -2, True),
        (10, 15, 11, 4, True),
        (10, 19.5, 20, 0, True),
        (10, 10.5, 20, 0, False),
        (10, 9.5, 20, -0.5, False),
    ],
)
def test_what_may_be_the_way_is_no_difference(
    before: float, its: float, after: float, difference: float, is_clear: bool
) -> None:
    reading = Reading(before, its, after)
    assert (reading.difference, reading.is_clear) == (difference, is_clear)


def test_a_machine_that_answers_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [Reading(0, 0.1, 5), Reading(5, 5.1, 5.4), Reading(9, 9, 9)]
    monkeypatch.setattr(clock, "_read", lambda connection, command: readings.pop(0))
    clock.agree(None, "default")
    assert len(readings) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-43, "43 s behind"), (1.4, "1 s ahead"), (-600, "10 minutes behind"), (14400, "4 hours ahead")],
)
def test_differences_in_words(seconds: float, words: str) -> None:
    assert clock.in_words(seconds) == words
