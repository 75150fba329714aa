from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from labkit.host.matrix import cell
from labkit.host.matrix.cell import StoppedError
from labkit.host.matrix.display import last_line

STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready'); time.sleep(60)"
TIDY = """
import pathlib, sys, time
print('ready')
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).touch()
"""


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


def stop_when_ready(log: Path, stop: threading.Event) -> None:
    def watch() -> None:
        while last_line(log) != "ready":
            time.sleep(0.02)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()


def test_a_programs_words_and_status(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = "import sys; print('out'); print('error: no', file=sys.stderr); sys.exit(7)"
    assert cell.run(python(program), log, 30, threading.Event()) == 7
    assert cell.run(python("print('again')"), log, 30, threading.Event()) == 0
    text = log.read_text()
    assert "out\n" in text
    assert "error: no\n" in text, "what a program before has said stays"
    assert f"== {sys.executable} -c print('again')\nagain\n" in text
    assert last_line(log) == "again"


def test_a_log_that_is_not_there_has_no_last_line(tmp_path: Path) -> None:
    assert last_line(tmp_path / "log") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a program at once")
def test_a_program_that_is_stopped_may_put_its_things_away(tmp_path: Path) -> None:
    stop, log = threading.Event(), tmp_path / "log"
    stop_when_ready(log, stop)
    with pytest.raises(StoppedError):
        cell.run(python(TIDY, str(tmp_path / "put-away")), log, 30, stop)
    assert (tmp_path / "put-away").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a program at once")
def test_a_program_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "PATIENCE", 0.3)
    stop, log = threading.Event(), tmp_path / "log"
    stop_when_ready(log, stop)
    started = time.monotonic()
    with pytest.raises(StoppedError):
        cell.run(python(STUBBORN), log, 30, stop)
    assert time.monotonic() - started < 20


def test_a_program_that_takes_too_long_is_ended_and_has_no_good_status(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert cell.run(python("import time; time.sleep(60)"), log, 0.5, threading.Event()) != 0
    assert "It did not end within 0 seconds" in log.read_text()


def test_nothing_is_started_in_a_run_that_was_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        cell.run(python(f"open({str(tmp_path / 'made')!r}, 'w')"), tmp_path / "log", 30, stop)
    assert list(tmp_path.iterdir()) == []
