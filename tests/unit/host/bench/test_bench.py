"""What the benchmark compares and how it says so; the figures themselves are no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from labkit import log
from labkit.errors import LabkitError
from labkit.host.bench import engines, result, task
from labkit.host.bench.result import LARGER, Report, Row

linux = pytest.mark.skipif(sys.platform != "linux", reason="the measured programs make Linux containers")


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("x", "1 ms", "2 ms", 0.5, 0.5, 0.3), "reached"),
        (Row("x", "1 ms", "2 ms", 0.3, 0.5, 0.3), "reached, and more"),
        (Row("x", "1 ms", "2 ms", 0.51, 0.5, 0.3), "not reached"),
        (Row("x", "9/s", "10/s", 0.95, 0.93, 0.97, LARGER), "reached"),
        (Row("x", "9/s", "10/s", 0.92, 0.93, 0.97, LARGER), "not reached"),
        (Row("x", "", "", None, 0.5, 0.3, missing="not installed: podman"), "not installed: podman"),
    ],
)
def test_a_figure_is_reached_or_not(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


def test_a_report_goes_to_json_and_into_a_table() -> None:
    rows = [Row("start", "7 ms", "runc 21 ms", 1 / 3, 1.3, 1.0), Row("memory", "9 MiB", "", 9.0, 12, 8, unit="MiB")]
    report = Report("2026-11-24", {"labkit": "0.1", "runc": "1.1.5"}, 21, rows)
    shown = json.loads(json.dumps(report.as_dict()))
    assert [row["verdict"] for row in shown["rows"]] == [row.verdict for row in rows]
    assert shown["rows"][0]["ours"] == "7 ms"
    text = result.as_markdown(report)
    assert "| start | 7 ms | runc 21 ms | 0.33 | at most 1.30, better 1.00 | reached, and more |" in text
    assert "| memory | 9 MiB |  | 9 MiB | at most 12 MiB, better 8 MiB | reached |" in text
    assert text.endswith("Medians of 21 runs in turns, 2026-11-24: labkit 0.1, runc 1.1.5.\n")


@linux
def test_commands_are_run_in_turns_and_the_first_turn_does_not_count(tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    def command(name: str) -> list[str]:
        return ["sh", "-c", f"echo {name} >> {trace}"]

    bench = engines.Bench(tmp_path, tmp_path, 2)
    times = bench.in_turns({"a": lambda number: command(f"a{number}"), "b": lambda number: command(f"b{number}")})
    assert trace.read_text().split() == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert [len(times[name]) for name in "ab"] == [2, 2]
    assert min(times["a"]) > 0


@linux
def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(engines.CommandFailedError, match="ended with 3"):
        engines.timed(["sh", "-c", "echo why >&2; exit 3"], str(tmp_path / "errors"))
    assert (tmp_path / "errors").read_text() == "why\n"


@linux
def test_the_task_knows_the_cases() -> None:
    from labkit.host.bench import inside

    assert tuple(inside.CASES) == task.CASES


@linux
def test_what_is_missing_or_fails_is_said_in_its_row() -> None:
    def fails() -> engines.Times:
        subprocess.run(["sh", "-c", "echo it is broken >&2; exit 1"], check=True, capture_output=True)
        raise AssertionError

    assert engines.compared("x", 1, 1, "no-such-program", fails).verdict == "not installed: no-such-program"
    assert engines.compared("x", 1, 1, "sh", fails).verdict.endswith("it is broken")


REPORT = Report("2026-11-27", {"labkit": "0.1"}, 3)
ROWS = [Row("start", "7 ms", "runc 21 ms", 1 / 3, 1.3, 1.0), Row("stop", "", "", None, 1, 1, missing="no podman")]
LINES = [json.dumps(asdict(REPORT)), *(json.dumps(asdict(row)) for row in ROWS)]


def followed(script: str) -> tuple[Report, LabkitError | None]:
    command = [sys.executable, "-c", f"import os, sys, time\nlines = {LINES}\n{script}"]
    return task.followed(command, os.environ, log.Step("Measuring"), shown=True)


def test_each_row_is_printed_as_soon_as_it_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program waits for a file before its second row: whoever sees the first one makes it."""
    seen = tmp_path / "seen"
    stop_listening = log.listen(lambda event: seen.touch() if "start: 7 ms" in capsys.readouterr().out else None)
    script = f"""
print(*lines[:2], sep="\\n", flush=True)
while not os.path.exists({str(seen)!r}):
    print("still here", file=sys.stderr, flush=True)
    time.sleep(0.05)
print(lines[2])
"""
    report, failure = followed(script)
    stop_listening()
    assert (report.rows, report.date, failure) == (ROWS, REPORT.date, None)


def test_what_was_measured_before_it_broke_off_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    report, failure = followed("print(*lines[:2], sep='\\n'); print('it broke', file=sys.stderr); sys.exit(4)")
    assert report.rows == ROWS[:1]
    assert failure is not None
    assert failure.message == "The benchmark ended with 4: it broke."
    assert "start: 7 ms, runc 21 ms, 0.33: reached, and more" in capsys.readouterr().out


def test_a_warning_is_shown_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    report, failure = followed("print(*lines, sep='\\n'); print('warning: something stays', file=sys.stderr)")
    assert (report.rows, failure) == (ROWS, None)
    assert "warning: something stays" in capsys.readouterr().err


@linux
def test_a_directory_that_cannot_be_taken_back_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labkit.host.bench import inside

    for name, status in (("mount", 0), ("umount", 32)):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho target is busy >&2; exit {status}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with inside.place_in_memory() as place:
        (place / "overlay").mkdir()
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert said.endswith("target is busy\n")


@linux
def test_a_case_that_breaks_keeps_the_rows_before_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.host.bench import inside

    def breaks(_: object) -> Iterator[Row]:
        yield ROWS[0]
        raise OSError("the disk is gone")

    monkeypatch.setitem(inside.CASES, "oci", breaks)
    first, rest = inside.rows_of("oci", None)  # type: ignore[arg-type]
    assert first == ROWS[0]
    assert rest.verdict.startswith("the disk is gone")


@pytest.mark.parametrize(
    ("only", "runs", "markdown", "words"),
    [
        (["nope"], "3", None, "no benchmark called “nope”"),
        ([], "0", None, "no number of runs"),
        ([], "many", None, "no number of runs"),
        ([], "3", "/nonexistent/directory/file", "no file can be written there"),
        ([], "3", ".", "no file can be written there"),
    ],
)
def test_bad_input(only: list[str], runs: str, markdown: str | None, words: str) -> None:
    with pytest.raises(LabkitError, match=words):
        task.bench(only, runs, markdown, False)
