"""What ``invoke bench`` does: make a test host, measure in it, show a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from labkit import log
from labkit.errors import InfrastructureError, MissingToolError, NotFoundError, UsageError
from labkit.host import guestimage, listing, paths, testhost
from labkit.host.bench import result

CASES = ("oci", "run", "port", "exec", "redis", "crowd", "memory")
"""The names of inside.py's cases (a test compares the two): importing that takes what only Linux has."""

MOST_RUNS = 1000


def bench(only: Sequence[str], runs: str, markdown: str | None, as_json: bool) -> int:
    """Measure, and print what came of it; 1 where a figure was not reached.

    NotFoundError for a case that is not there, MissingToolError where no test host can be made.
    """
    for name in only:
        if name not in CASES:
            raise NotFoundError(f"There is no benchmark called “{name}”.", f"There are: {', '.join(CASES)}.")
    if not (runs.isascii() and runs.isdecimal() and 1 <= int(runs) <= MOST_RUNS):
        raise UsageError(f"{runs!r} is no number of runs.", f"It is a whole number from 1 to {MOST_RUNS}.")
    if markdown and not Path(markdown).absolute().parent.is_dir():
        raise UsageError(f"--markdown {markdown}: no file can be written there.", "Name a file in a directory.")
    why = testhost.why_not()
    if why:
        raise MissingToolError(f"Nothing can be measured here: {why}.", "It needs root on Linux.")
    report = measured(only, int(runs))
    text = result.as_markdown(report)
    if markdown:
        Path(markdown).write_text(text, encoding="utf-8")
    if as_json:
        listing.write_json(report.as_dict())
    else:
        listing.print_table(result.HEADS, [result.cells(row) for row in report.rows])
        print(text.splitlines()[-1])
    return int(any(row.verdict == "not reached" for row in report.rows))


def measured(only: Sequence[str], runs: int) -> result.Report:
    """Start inside.py in a test host, tell how far it is, and read its report."""
    image = guestimage.ensure()
    environment = {**os.environ, "PYTHONPATH": str(paths.checkout()), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with testhost.TestHost() as host, log.step("Measuring") as step:
        words = [sys.executable, "-m", "labkit.host.bench.inside", str(runs), str(image.directory), *only]
        with subprocess.Popen(
            host.command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stderr is not None
            assert process.stdout is not None
            said: list[str] = []
            case = ""
            for line in process.stderr:
                case = line.removeprefix("== ").strip() if line.startswith("== ") else case
                step.note(case if line.startswith("== ") else f"{case}: {line.strip()}")
                said = [*said[-20:], line.strip()]
            output = process.stdout.read()
    if process.returncode != 0:
        raise InfrastructureError(
            f"The benchmark ended with {process.returncode}: {said[-1] if said else 'it said nothing'}.",
            "What it said before: " + " | ".join(said[-5:-1]),
        )
    return result.report_from(json.loads(output))
