from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.runtime.engine.shim.logfile import Limits, LogReader, LogWriter
from labkit.runtime.engine.show import logs
from labkit.runtime.engine.show.logs import Choice
from labkit.runtime.text import timestamps

LONG = b"x" * 40000


@pytest.fixture
def writer(tmp_path: Path) -> LogWriter:
    return LogWriter(str(tmp_path / "log"), Limits())


@pytest.fixture
def shown(writer: LogWriter, capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[[Choice], tuple[bytes, bytes]]:
    def shown(choice: Choice) -> tuple[bytes, bytes]:
        logs.print_log(LogReader(writer.path), choice)
        return capsysbinary.readouterr()

    return shown


Shown = Callable[[Choice], tuple[bytes, bytes]]


def write(writer: LogWriter, *pieces: bytes, stream: int = 1) -> None:
    for piece in pieces:
        writer.write(stream, memoryview(piece))


def times(writer: LogWriter) -> list[int]:
    return [piece.time for piece in LogReader(writer.path).pieces((0, 0), None, bool)]


def test_a_line_is_a_line_however_long_and_in_however_many_pieces(writer: LogWriter, shown: Shown) -> None:
    write(writer, b"first\n" + LONG[:15000], LONG[15000:30000], LONG[30000:] + b"\nlast\n")
    assert shown(Choice(tail=2)) == (LONG + b"\nlast\n", b"")
    assert shown(Choice(tail=1)) == (b"last\n", b"")
    stamped = shown(Choice(timestamps=True))[0].splitlines()
    assert [len(line) - len("2026-11-27T18:00:00.123456789Z ") for line in stamped] == [5, 40000, 4]


@pytest.mark.parametrize("count", range(8))
def test_the_last_lines_are_those_that_began_last_on_both_streams(writer: LogWriter, shown: Shown, count: int) -> None:
    write(writer, b"1\n2\n3")
    write(writer, b"4\n5", stream=2)
    write(writer, b"c\n", b"6\n")
    write(writer, b"e\n", stream=2)
    out = [b"1\n", b"2\n", b"3c\n", b"6\n"]
    err = [b"4\n", b"5e\n"]
    order = [*out[:3], *err, *out[3:]]
    wanted = order[len(order) - count :] if count < len(order) else order
    assert shown(Choice(tail=count)) == tuple(
        b"".join(line for line in lines if line in wanted) for lines in (out, err)
    )


def test_what_has_no_end_yet_is_shown_and_counts(writer: LogWriter, shown: Shown) -> None:
    write(writer, b"one\ntwo\nlogin: ")
    assert shown(Choice()) == (b"one\ntwo\nlogin: ", b"")
    assert shown(Choice(tail=2)) == (b"two\nlogin: ", b"")
    assert shown(Choice(tail=1, timestamps=True))[0].endswith(b"Z login: ")


def test_bytes_that_are_no_text_come_out_as_they_went_in(writer: LogWriter, shown: Shown) -> None:
    everything = bytes(range(256)) * 10
    write(writer, everything[:1000], everything[1000:])
    assert shown(Choice())[0] == everything
    assert shown(Choice(tail=1))[0] == everything[-245:]


def test_since_and_until_go_by_a_lines_beginning_and_the_times_shown_can_be_given_back(
    writer: LogWriter, shown: Shown
) -> None:
    for piece in (b"one\ntwo\nth", b"ree\nfour\n", b"five\n"):
        write(writer, piece)
        time.sleep(0.002)
    first, second, third = (timestamps.parse(timestamps.of_nanoseconds(moment), 0) for moment in times(writer))
    assert shown(Choice(since=second))[0] == b"four\nfive\n"
    assert shown(Choice(until=first))[0] == b"one\ntwo\nthree\n"
    assert shown(Choice(since=second, until=second))[0] == b"four\n"
    assert shown(Choice(until=second, tail=2))[0] == b"three\nfour\n"
    assert shown(Choice(since=second, tail=9))[0] == b"four\nfive\n"
    assert shown(Choice(since=third + 1))[0] == b""
    assert shown(Choice(since=third + 1, tail=3))[0] == b""
    assert shown(Choice(until=first - 1, tail=3))[0] == b""


def test_times_stand_at_the_beginnings_of_lines_when_both_streams_write_at_once(
    writer: LogWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, b"out")
    write(writer, b"err\n", stream=2)
    write(writer, b"put\n", b"more")
    with open(tmp_path / "terminal", "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        logs.print_log(LogReader(writer.path), Choice(timestamps=True))
        monkeypatch.undo()
    words = [line.split(" ") for line in (tmp_path / "terminal").read_text().split("\n")]
    assert [word for _, word in words] == ["err", "output", "more"]


def test_a_line_of_any_length_is_followed_without_being_held_as_a_whole(
    writer: LogWriter, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    seen: list[int] = []

    def is_written() -> bool:
        seen.append(len(capsysbinary.readouterr().out))
        write(writer, LONG * 5)
        return len(seen) < 4

    logs.print_log(LogReader(writer.path), Choice(timestamps=True), is_written)
    assert seen == [0, len(LONG) * 5 + len("2026-11-27T18:00:00.123456789Z "), len(LONG) * 5, len(LONG) * 5]


def test_rotation_leaves_the_last_lines_whole_and_what_is_left_of_a_torn_one_is_shown(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    writer = LogWriter(str(tmp_path / "log"), Limits(size=100000, files=2))
    for number in range(20):
        write(writer, b"%02d" % number + LONG[:15000], LONG[:15000] + b"\n")
    logs.print_log(LogReader(writer.path), Choice(tail=2))
    assert capsysbinary.readouterr().out == b"".join(b"%02d" % number + LONG[:30000] + b"\n" for number in (18, 19))
    write(writer, *[LONG] * 20)
    logs.print_log(LogReader(writer.path), Choice(tail=1))
    torn = capsysbinary.readouterr().out
    assert len(torn) >= 100000
    assert set(torn) == {b"x"[0]}


def test_a_followed_log_ends_with_until(writer: LogWriter, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write(writer, b"one\n")
    until = time.time() + 0.2
    logs.print_log(LogReader(writer.path), Choice(until=until), lambda: True)
    assert capsysbinary.readouterr().out == b"one\n"
