"""What ``invoke bench`` does: make a test host, measure in it, show a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from labkit import log
from labkit.errors import InfrastructureError, MissingToolError, NotFoundError
from labkit.host import terminal
from labkit.host.bench import result
from labkit.host.image import guestimage
from labkit.host.lab import paths
from labkit.host.matrix.task import Outputs, whole_number
from labkit.host.proof import testhost

CASES = ("oci", "run", "port", "exec", "output", "cp", "redis", "crowd", "memory")
"""The names of inside.py's cases (a test compares the two): importing that takes what only Linux has."""

MOST_RUNS = 1000


def bench(only: Sequence[str], runs: str, markdown: str | None, as_json: bool) -> int:
    """Measure, and print what came of it; 1 where a figure was not reached.

    NotFoundError for a case that is not there, MissingToolError where no test host can be made.
    """
    for name in only:
        if name not in CASES:
            raise NotFoundError(f"There is no benchmark called “{name}”.", f"There are: {', '.join(CASES)}.")
    number = whole_number(runs, "runs", MOST_RUNS)
    Outputs(markdown=markdown).check()
    why = testhost.why_not()
    if why:
        raise MissingToolError(f"Nothing can be measured here: {why}.", "It needs root on Linux.")
    report, failure = measured(only, number, shown=not as_json)
    text = result.as_markdown(report)
    if markdown:
        Path(markdown).write_text(text, encoding="utf-8")
    if as_json:
        terminal.write_json(report.as_dict())
    else:
        terminal.print_table(result.HEADS, [result.cells(row) for row in report.rows])
        print(text.splitlines()[-1])
    if failure:
        raise failure
    return int(any(row.verdict == "not reached" for row in report.rows))


def measured(only: Sequence[str], runs: int, shown: bool) -> tuple[result.Report, InfrastructureError | None]:
    """Start inside.py in a test host, tell how far it is, and read its report; with ``shown`` print each row as it
    comes.

    Where it breaks off: what was measured by then, and why it did.
    """
    image = guestimage.ensure()
    environment = {**os.environ, "PYTHONPATH": str(paths.checkout()), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with testhost.TestHost() as host, log.step("Measuring") as step:
        words = [sys.executable, "-m", "labkit.host.bench.inside", str(runs), str(image.directory), *only]
        return followed(host.command(words), environment, step, shown)


def followed(
    command: Sequence[str], environment: Mapping[str, str], step: log.Step, shown: bool
) -> tuple[result.Report, InfrastructureError | None]:
    """The same for a command that prints what inside.py does."""
    report = result.Report("", {}, 0)
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        # Both are read at once: a program that waits for the reader of the one says nothing on the other.
        listener = threading.Thread(target=_listen, args=(process.stderr, step, said))
        listener.start()
        for line in process.stdout:
            document = json.loads(line)
            if "rows" in document:
                report = result.Report(**document)
                continue
            report.rows.append(result.Row(**document))
            if shown:
                print(result.as_line(report.rows[-1]), flush=True)
        listener.join()
    if process.returncode == 0:
        return report, None
    return report, InfrastructureError(
        f"The benchmark ended with {process.returncode}: {said[-1] if said else 'it said nothing'}.",
        "What it said before: " + " | ".join(said[-5:-1]),
    )


def _listen(stream: IO[str], step: log.Step, said: list[str]) -> None:
    """Tell how far it is; keep the last of what it says."""
    case = ""
    for line in stream:
        case = line.removeprefix("== ").strip() if line.startswith("== ") else case
        if line.startswith(result.WARNING):
            print(line.rstrip(), file=sys.stderr, flush=True)
        step.note(case if line.startswith("== ") else f"{case}: {line.strip()}")
        said[:] = [*said[-20:], line.strip()]
