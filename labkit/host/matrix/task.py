"""What ``invoke matrix`` does: list cells, merge summaries, or play, and write what came of it where it is wanted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import UsageError
from labkit.host import terminal
from labkit.host.lab import config
from labkit.host.lab.config import Lab
from labkit.host.lab.matrixsection import Cell
from labkit.host.matrix import report, run
from labkit.host.matrix.report import Summary
from labkit.host.matrix.run import Played
from labkit.host.matrix.verdict import exit_status
from labkit.host.terminal import STDOUT

MOST_JOBS = 64


@dataclass(frozen=True)
class Outputs:
    """Where to write what, beside the Markdown on standard output."""

    json: str | None = None
    """A file, or ``-`` for standard output, which then holds nothing else."""
    markdown: str | None = None
    junit: str | None = None
    """A directory, made where it is missing."""

    def check(self) -> None:
        """UsageError where something cannot be written: better now than after an hour."""
        for option, value in (("--json", self.json), ("--markdown", self.markdown)):
            if value and value != STDOUT and (Path(value).is_dir() or not Path(value).absolute().parent.is_dir()):
                raise UsageError(f"{option} {value}: no file can be written there.", "Name a file in a directory.")
        if self.junit:
            try:
                Path(self.junit).mkdir(exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"--junit {self.junit}: no directory can be made there: {error.strerror}.",
                    "Each cell gets a file in it.",
                ) from error

    def write(self, summary: Summary) -> None:
        """JSON and Markdown; the latter also on standard output, unless that is JSON's."""
        markdown = report.as_markdown(summary)
        if self.json != STDOUT:
            sys.stdout.write(markdown)
        if self.json:
            terminal.write_json(report.as_dict(summary), self.json)
        if self.markdown:
            Path(self.markdown).write_text(markdown, encoding="utf-8")


def play(
    cells: Sequence[str],
    only: Sequence[str],
    outputs: Outputs,
    *,
    ci: bool = False,
    jobs: str = "1",
    fresh: bool = False,
) -> int:
    """Play the lessons ``only`` (none: all) in ``cells`` (none: all, or CI's).

    The exit status is 0 where every cell is green, 1 where one is not, 7 where the only trouble was with machines.
    """
    lab = config.load()
    outputs.check()
    chosen = run.choose_cells(lab, cells, ci=ci)
    played = run.play(chosen, run.choose_lessons(only), jobs=whole_number(jobs, "jobs", MOST_JOBS), fresh=fresh)
    if outputs.junit:
        report.write_junit(played.summary, played.record, Path(outputs.junit))
    outputs.write(played.summary)
    status = exit_status(played.summary.verdicts)
    if status:
        print(_how_to_go_on(played), file=sys.stderr)
    return status


def _how_to_go_on(played: Played) -> str:
    """For whoever has a cell that is not green: where the logs are, and how to have the first failure to oneself."""
    bad = [(each.cell, result.lesson) for each in played.summary.cells for result in each.played if result.why]
    words = f"What each program said is in {played.record.directory}."
    if bad:
        cell, lesson = bad[0]
        words += f"\nTo look at it on a machine of yours: `invoke scenario {lesson} --machine {cell.machine}`."
    return words


def merge(directory: str, cells: Sequence[str], outputs: Outputs, *, ci: bool = False) -> int:
    """Make one summary of those below ``directory``; the exit status as if it had been one run."""
    lab = config.load()
    outputs.check()
    if not Path(directory).is_dir():
        raise UsageError(f"There is no directory {directory}.", "It should hold what `invoke matrix --json` wrote.")
    summary = report.merge(Path(directory), run.choose_cells(lab, cells, ci=ci), lab.matrix)
    outputs.write(summary)
    return exit_status(summary.verdicts)


def show(cells: Sequence[str], as_json: str | None, *, ci: bool = False) -> None:
    """List cells, their machines, and what is expected to be lacking.

    As JSON: ``{"cells": [{"cell": "6.1,v2,nft", "machine": str, "kernel": str, "cgroup": str, "iptables": str, "ci":
    bool, "lacking": {NEED: WHY}}]}``, to a file, or for ``-`` to standard output.
    """
    lab = config.load()
    Outputs(json=as_json).check()
    chosen = run.choose_cells(lab, cells, ci=ci)
    if as_json:
        terminal.write_json({"cells": [_described(cell, lab) for cell in chosen]}, as_json)
        return
    rows = [
        (str(cell), cell.machine, "yes" if cell in lab.matrix.ci else "", ", ".join(lab.matrix.expected(cell)))
        for cell in chosen
    ]
    terminal.print_table(("cell", "machine", "CI", "expected to be lacking"), rows)


def _described(cell: Cell, lab: Lab) -> dict[str, Any]:
    return {
        "cell": str(cell),
        "machine": cell.machine,
        "kernel": cell.kernel,
        "cgroup": cell.cgroup,
        "iptables": cell.iptables,
        "ci": cell in lab.matrix.ci,
        "lacking": {need: lack.why for need, lack in lab.matrix.expected(cell).items()},
    }


def whole_number(text: str, what: str, most: int) -> int:
    """How many there shall be of ``what``. UsageError where it is no number, or another than 1 to ``most``."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise UsageError(f"{text!r} is no number of {what}.", f"It is a whole number from 1 to {most}.")
    return int(text)
