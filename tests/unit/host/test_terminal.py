from __future__ import annotations

import io
import os
import select
import sys

import pytest
from rich.console import Console

from labkit import log
from labkit.host import terminal


class Clock:
    """Seconds, which the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain(clock: Clock) -> tuple[terminal.PlainLines, io.StringIO]:
    stream = io.StringIO()
    return terminal.PlainLines(stream, clock), stream


def event(kind: str, step: int = 1, **fields: object) -> log.Event:
    return {"event": kind, "step": step, **fields}


def test_without_a_terminal_a_step_is_two_lines() -> None:
    display, stream = plain(Clock())
    display(event("step-start", title="Booting"))
    display(event("step-end", title="Booting", ok=True, seconds=14.23))
    assert stream.getvalue() == "Booting ...\nBooting: done (14.2 s)\n"


def test_a_failure_is_told_from_a_success() -> None:
    display, stream = plain(Clock())
    display(event("step-start", title="Booting"))
    display(event("step-end", title="Booting", ok=False, seconds=1))
    assert "Booting: failed (1.0 s)" in stream.getvalue()


def test_notes_are_thinned_out() -> None:
    clock = Clock()
    display, stream = plain(clock)
    display(event("step-start", title="Building"))
    for second in range(25):
        clock.now = float(second)
        display(event("step-note", text=f"line {second}"))
    assert stream.getvalue().splitlines()[1:] == ["Building: line 10", "Building: line 20"]


def test_a_notice_is_a_line() -> None:
    display, stream = plain(Clock())
    display({"event": "notice", "time": 0.0, "text": "The clock is set."})
    assert stream.getvalue() == "The clock is set.\n"
    spinner, screen = on_terminal()
    spinner({"event": "notice", "time": 0.0, "text": "The clock [of one] is set."})
    screen.seek(0)
    assert screen.read() == "The clock [of one] is set.\n"


def test_other_events_are_nothing_to_show() -> None:
    display, stream = plain(Clock())
    display({"event": "operation", "time": 0.0})
    assert stream.getvalue() == ""


def on_terminal(encoding: str = "utf-8") -> tuple[terminal.Spinner, io.TextIOWrapper]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    shown = Console(file=stream, force_terminal=True, color_system=None, width=100, soft_wrap=True)
    return terminal.Spinner(shown), stream


def shown(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(stream.encoding)


def test_on_a_terminal_a_slow_step_leaves_a_line_and_a_quick_one_none() -> None:
    display, stream = on_terminal()
    display(event("step-start", 1, title="Slow [really]"))
    display(event("step-note", 1, text="half way"))
    display(event("step-end", 1, title="Slow [really]", ok=True, seconds=3.0))
    display(event("step-start", 2, title="Quick"))
    display(event("step-end", 2, title="Quick", ok=True, seconds=0.1))
    display.close()
    assert "✓ Slow [really] (3.0 s)" in shown(stream)
    assert "✓ Quick" not in shown(stream)


def test_the_display_is_gone_after_the_last_step_and_after_close() -> None:
    display, _ = on_terminal()
    display(event("step-start", 1, title="outer"))
    display(event("step-start", 2, title="inner"))
    display(event("step-end", 2, title="inner", ok=True, seconds=0))
    assert display._progress is not None
    display(event("step-end", 1, title="outer", ok=True, seconds=0))
    assert display._progress is None
    display(event("step-start", 3, title="interrupted"))
    display.close()
    assert display._progress is None


def test_a_terminal_without_unicode_gets_words() -> None:
    display, stream = on_terminal("cp1252")
    display(event("step-start", 1, title="Booting"))
    display(event("step-end", 1, title="Booting", ok=False, seconds=3))
    assert "failed Booting (3.0 s)" in shown(stream)


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress(), log.step("Working"):
        print("data")
    output = capsys.readouterr()
    assert output.out == "data\n"
    assert output.err.startswith("Working ...\nWorking: done")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.stderr_console().no_color


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudoterminals of this kind")
def test_an_impatient_enter_answers_no_later_question(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, encoding="utf-8") as typed:
        monkeypatch.setattr("sys.stdin", typed)
        os.write(ours, b"\n\n")
        assert select.select([theirs], [], [], 5)[0]
        terminal.forget_what_was_typed()
        assert not select.select([theirs], [], [], 0)[0]
        os.write(ours, b"q\n")
        assert typed.readline() == "q\n"
    os.close(ours)


def test_a_file_is_no_impatient_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"kept\n")
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        terminal.forget_what_was_typed()
        assert file.readline() == "kept\n"
