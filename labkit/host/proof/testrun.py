"""One run of pytest as a stage of ``invoke test``: in a process of its own, with a limit, read from its report."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from labkit.errors import InfrastructureError
from labkit.host.lab import paths, programs
from labkit.host.matrix.verdict import read_junit
from labkit.host.proof.testreport import Outcome, counted

NO_TESTS_COLLECTED = 5
"""pytest.ExitCode.NO_TESTS_COLLECTED."""


def arguments(keyword: str | None, marks: str) -> list[str]:
    """What every run of pytest is given, wherever it runs: colours, what to choose, and the ten slowest at its end."""
    colour = "yes" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "no"
    chosen = [*(["-k", keyword] if keyword else []), *(["-m", marks] if marks else [])]
    return [f"--color={colour}", "--durations=10", "--durations-min=0.5", *chosen]


def spread() -> list[str]:
    """Arguments by which pytest-xdist gives the tests to all processors."""
    return ["-n", str(os.cpu_count() or 1), "--dist", "worksteal"]


def run_here(
    title: str,
    directory: str,
    words: Sequence[str],
    *,
    limit: float,
    may_be_empty: bool = False,
) -> Outcome:
    """Run pytest on a directory of the checkout, its output passed on as it comes. ``limit`` is in seconds."""
    if not (paths.checkout() / directory).is_dir():
        return Outcome(title, "failed", why=f"there is no directory {directory} in the checkout")
    with tempfile.TemporaryDirectory(prefix="labkit-report-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", directory, f"--junitxml={report}", *words]
        status = run_to_its_end(command, limit)
        return outcome(title, status, report.read_bytes() if report.is_file() else b"", may_be_empty=may_be_empty)


def run_to_its_end(command: Sequence[str], limit: float) -> int:
    """The exit status of ``command``, run in the checkout, which puts its machines away before it ends.

    pytest does that at SIGINT, its workers, too, and still writes its report.
    """
    with subprocess.Popen(command, cwd=paths.checkout()) as process:
        try:
            return process.wait(timeout=limit)
        except KeyboardInterrupt:  # The terminal has told the process, too.
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(timeout=60)
            process.kill()
            raise
        except SystemExit:  # ended_properly; nobody told the process
            programs.end(process, 60)
            raise
        except subprocess.TimeoutExpired:
            print(f"It did not end within {limit:.0f} seconds and is stopped.", file=sys.stderr, flush=True)
            programs.end(process, 60)
            return -1


def outcome(title: str, status: int, report: bytes, *, may_be_empty: bool = False) -> Outcome:
    """What pytest's exit status and report say together.

    ``may_be_empty``: a keyword chose among the tests, and that there is none of that kind here is no failure.
    """
    found = read_junit(report)
    if status == NO_TESTS_COLLECTED and may_be_empty:
        return Outcome(title, "not run", why="no test matches the keyword")
    if status == NO_TESTS_COLLECTED:
        return Outcome(title, "failed", why="there is not a single test")
    if status == InfrastructureError.exit_status:
        return counted(title, "unreachable", found, "the machine was lost")
    if status == 0:
        return counted(title, "passed", found)
    return counted(title, "failed", found, "" if found.failed else f"pytest ended with status {status}")
