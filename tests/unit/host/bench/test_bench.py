"""What the benchmark compares and how it says so; the figures themselves are no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import LabkitError
from labkit.host.bench import measure, result, task
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


def test_a_report_goes_to_json_and_back_and_into_a_table() -> None:
    rows = [Row("start", "7 ms", "runc 21 ms", 1 / 3, 1.3, 1.0), Row("memory", "9 MiB", "", 9.0, 12, 8, unit="MiB")]
    report = Report("2026-11-24", {"labkit": "0.1", "runc": "1.1.5"}, 21, rows)
    assert result.report_from(json.loads(json.dumps(report.as_dict()))) == report
    text = result.as_markdown(report)
    assert "| start | 7 ms | runc 21 ms | 0.33 | at most 1.30, better 1.00 | reached, and more |" in text
    assert "| memory | 9 MiB |  | 9 MiB | at most 12 MiB, better 8 MiB | reached |" in text
    assert text.endswith("Medians of 21 runs in turns, 2026-11-24: labkit 0.1, runc 1.1.5.\n")


@linux
def test_commands_are_run_in_turns_and_the_first_turn_does_not_count(tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    def command(name: str) -> list[str]:
        return ["sh", "-c", f"echo {name} >> {trace}"]

    times = measure.in_turns({"a": lambda number: command(f"a{number}"), "b": lambda number: command(f"b{number}")}, 2)
    assert trace.read_text().split() == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert [len(times[name].seconds) for name in "ab"] == [2, 2]
    assert times["a"].median > 0
    assert times["a"].resident > 100


@linux
def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(measure.CommandFailedError, match="ended with 3"):
        measure.run(["sh", "-c", "echo why >&2; exit 3"], str(tmp_path / "errors"))
    assert (tmp_path / "errors").read_text() == "why\n"


@linux
def test_the_task_knows_the_cases() -> None:
    from labkit.host.bench import inside

    assert tuple(inside.CASES) == task.CASES


@linux
def test_what_is_missing_or_fails_is_said_in_its_row() -> None:
    from labkit.host.bench import inside

    def fails() -> dict[str, measure.Times]:
        subprocess.run(["sh", "-c", "echo it is broken >&2; exit 1"], check=True, capture_output=True)
        raise AssertionError

    assert inside.compared("x", 1, 1, "no-such-program", fails).verdict == "not installed: no-such-program"
    assert inside.compared("x", 1, 1, "sh", fails).verdict.endswith("it is broken")


@pytest.mark.parametrize(
    ("only", "runs", "markdown", "words"),
    [
        (["nope"], "3", None, "no benchmark called “nope”"),
        ([], "0", None, "no number of runs"),
        ([], "many", None, "no number of runs"),
        ([], "3", "/nonexistent/directory/file", "no file can be written there"),
    ],
)
def test_bad_input(only: list[str], runs: str, markdown: str | None, words: str) -> None:
    with pytest.raises(LabkitError, match=words):
        task.bench(only, runs, markdown, False)
