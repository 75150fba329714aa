"""What came of the matrix: as Markdown for people, as JSON for programs, and as one junit file for each cell.

The JSON is ``{"date": str, "versions": {str: str}, "cells": [CELL]}``. A CELL is ``{"cell": "6.1,v2,nft", "verdict":
VERDICT, "facts": {"kernel": str, "accelerator": str}, "boot_seconds": float, "lessons": [LESSON]}``, a LESSON
``{"lesson": str, "verdict": VERDICT, "why": [str], "seconds": float, "passed": int, "failed": int, "lacking": int,
"lacks": {NEED: REASON}}``, and a VERDICT one of verdict.py's. Several of them can be merged: a nightly run has a job
for each cell.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.errors import ConfigError, UsageError
from labkit.host.lab.matrixsection import Cell, Matrix
from labkit.host.matrix.record import CellRun, Record
from labkit.host.matrix.verdict import Result, Verdict, infrastructure

WORDS: dict[Verdict, str] = {
    "passed": "passed",
    "failed": "**failed**",
    "lacking": "lacking",
    "infrastructure": "*no machine*",
}


@dataclass(frozen=True)
class Summary:
    """All of it."""

    date: str
    """ISO 8601, in UTC, to the minute."""
    versions: dict[str, str]
    """What was tested with: ``labkit``, ``QEMU``, ``host``."""
    cells: tuple[CellRun, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        """Each cell's."""
        return [each.verdict for each in self.cells]


# ---- JSON


def as_dict(summary: Summary) -> dict[str, Any]:
    """The JSON, see above."""
    return {
        "date": summary.date,
        "versions": summary.versions,
        "cells": [
            {
                "cell": str(each.cell),
                "verdict": each.verdict,
                "facts": each.facts,
                "boot_seconds": round(each.boot_seconds, 1),
                "lessons": [{**asdict(result), "seconds": round(result.seconds, 1)} for result in each.played],
            }
            for each in summary.cells
        ],
    }


def from_dict(value: Mapping[str, Any], matrix: Matrix) -> Summary:
    """What ``as_dict`` made. KeyError, TypeError or a LabkitError where it is something else."""
    cells = []
    for each in value["cells"]:
        results = {lesson["lesson"]: Result.from_dict(lesson) for lesson in each["lessons"]}
        facts, boot_seconds = dict(each["facts"]), float(each["boot_seconds"])
        cells.append(CellRun(matrix.cell(each["cell"]), tuple(results), results, facts, boot_seconds))
    return Summary(value["date"], dict(value["versions"]), tuple(cells))


def merge(directory: Path, cells: Sequence[Cell], matrix: Matrix) -> Summary:
    """All summaries in the ``*.json`` files below ``directory`` as one, in the order of ``cells``.

    A cell of which there is none had no machine: its job ended before it could tell. UsageError where there is no file
    at all, ConfigError where one is something else.
    """
    summaries = []
    for file in sorted(directory.rglob("*.json")):
        try:
            summaries.append(from_dict(json.loads(file.read_text(encoding="utf-8")), matrix))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{file} is no summary of a matrix: {type(error).__name__}: {error}."
            raise ConfigError(reason, "It should be what `invoke matrix --json` wrote.") from None
    if not summaries:
        raise UsageError(f"There is no summary (*.json) below {directory}.", "`invoke matrix --json FILE` writes one.")
    found = {each.cell: each for summary in summaries for each in summary.cells}
    silent = infrastructure("all lessons", ["There is no summary of this cell: its job did not come to its end."])
    versions = {name: text for summary in summaries for name, text in summary.versions.items()}
    rows = tuple(found.get(cell) or CellRun(cell, (silent.lesson,), {silent.lesson: silent}) for cell in cells)
    return Summary(max(summary.date for summary in summaries), versions, rows)


# ---- Markdown


def as_markdown(summary: Summary) -> str:
    """A table, cells × lessons, and below it what failed, and what is lacking and why."""
    lessons = list(dict.fromkeys(result.lesson for each in summary.cells for result in each.played))
    lines = ["# The matrix", "", _first_sentence(summary), ""]
    lines += _table(
        ["kernel", "cgroup", "iptables", *lessons, "boot", "all"],
        [_row(each, lessons) for each in summary.cells],
    )
    return "\n".join([*lines, *_failures(summary), *_lacks(summary)]) + "\n"


def _first_sentence(summary: Summary) -> str:
    """When, with what, and how it ended."""
    results = [result for each in summary.cells for result in each.played]
    counts = {verdict: sum(result.verdict == verdict for result in results) for verdict in WORDS}
    ended = ", ".join(f"{count} {word.strip('*')}" for verdict, word in WORDS.items() if (count := counts[verdict]))
    versions = ", ".join(f"{name} {text}" for name, text in summary.versions.items())
    cells = len(summary.cells)
    return f"{summary.date}: {cells} cell{'' if cells == 1 else 's'}, {ended or 'nothing played'}. With {versions}."


def _row(each: CellRun, lessons: list[str]) -> list[str]:
    return [
        each.facts.get("kernel") or each.cell.kernel,
        each.cell.cgroup,
        each.cell.iptables,
        *[in_words(each.results[lesson]) if lesson in each.results else "" for lesson in lessons],
        f"{each.boot_seconds:.0f} s",
        minutes(each.seconds),
    ]


def in_words(result: Result) -> str:
    """A lesson's verdict, and how many of its checks are lacking."""
    word = WORDS[result.verdict]
    return f"{word}, {result.lacking} lacking" if result.lacking and result.verdict != "lacking" else word


def _failures(summary: Summary) -> list[str]:
    """A line for each reason why something is not green."""
    lines = [
        f"- {each.cell}, {result.lesson}: {why}"
        for each in summary.cells
        for result in each.played
        if result.verdict in ("failed", "infrastructure")
        for why in result.why
    ]
    return ["", "## What is not green", "", *lines] if lines else []


def _lacks(summary: Summary) -> list[str]:
    """What is lacking, why, and where: one row for each need and reason."""
    where: dict[tuple[str, str], list[Cell]] = {}
    for each in summary.cells:
        for need, reason in {pair for result in each.played for pair in result.lacks.items()}:
            where.setdefault((need, reason), []).append(each.cell)
    rows = [[need, reason, ", ".join(f"`{cell}`" for cell in cells)] for (need, reason), cells in sorted(where.items())]
    return ["", "## What is lacking", "", *_table(["need", "what the kernel says", "cells"], rows)] if rows else []


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """A table of Markdown that can be read as text, too."""
    cells = [heads, *[[text.replace("|", "\\|") for text in row] for row in rows]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(heads))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return [lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]]


def minutes(seconds: float) -> str:
    """``2:05``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# ---- junit


def write_junit(summary: Summary, record: Record, directory: Path) -> None:
    """One file for each cell, with each lesson's report as a suite of its own.

    What is no test case of pytest's (a lack that nobody expected, a machine that was lost) is one here, so that whoever
    reads only these files sees the same verdict.
    """
    for each in summary.cells:
        suites = ElementTree.Element("testsuites", name=each.cell.machine)
        for result in each.played:
            for suite in _suites(record.junit(each.cell, result.lesson)):
                suite.set("name", f"{each.cell.machine}.{result.lesson}")
                suites.append(suite)
            suites.append(_own_suite(each.cell, result))
        tree = ElementTree.ElementTree(suites)
        tree.write(directory / f"{each.cell.machine}.xml", encoding="utf-8", xml_declaration=True)


def _suites(report: Path) -> list[ElementTree.Element]:
    """pytest's own suites; none where it wrote no report, or where its end cut it off."""
    try:
        return list(ElementTree.parse(report).iter("testsuite"))  # noqa: S314  # our own pytest's
    except (OSError, ElementTree.ParseError):
        return []


def _own_suite(cell: Cell, result: Result) -> ElementTree.Element:
    """The verdict of the matrix on one lesson, as a test case."""
    kind = {"failed": "failure", "infrastructure": "error", "lacking": "skipped"}.get(result.verdict)
    counts = {
        name: str(int(kind == tag))
        for name, tag in (("errors", "error"), ("failures", "failure"), ("skipped", "skipped"))
    }
    seconds = f"{result.seconds:.3f}"
    suite = ElementTree.Element(
        "testsuite", {"name": f"{cell.machine}.matrix", "tests": "1", "time": seconds, **counts}
    )
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"matrix.{cell.machine}", name=result.lesson, time=seconds
    )
    if kind:
        words = list(result.why) or [f"{need}: {reason}" for need, reason in result.lacks.items()]
        problem = ElementTree.SubElement(case, kind, message=words[0] if words else result.verdict, type=result.verdict)
        problem.text = "\n".join(words)
    return suite
