"""Judges a lesson that was played in a cell: what its report says, against what lab.yaml expects there. Pure.

==================  ===============================================================================================
passed              all that could be checked held; single checks may be lacking what lab.yaml says is lacking
failed              a step or a check failed, a need is lacking unexpectedly, or one is there that should be lacking
lacking             the whole lesson needs what lab.yaml says is lacking here
infrastructure      the machine could not be brought up or was lost: neither pass nor failure
==================  ===============================================================================================
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from labkit.errors import InfrastructureError
from labkit.host.lab.matrixsection import ExpectedLack

Verdict = Literal["passed", "failed", "lacking", "infrastructure"]

LONGEST_REASON = 300
"""Characters of one reason; a failed check may print a screenful."""


@dataclass(frozen=True)
class Result:
    """What became of one lesson in one cell."""

    lesson: str
    verdict: Verdict
    why: tuple[str, ...] = ()
    """What is to be said of it, a sentence each: failures, lacks that nobody expected, what happened to the machine."""
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    lacking: int = 0
    """Steps and checks, as pytest counts."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Need -> the probed reason, for all that is lacking, expected or not."""

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Result:
        """What was written of ``asdict``. TypeError where it is something else."""
        return cls(**{**value, "why": tuple(value["why"])})


@dataclass
class Junit:
    """What a report of pytest's says."""

    passed: int = 0
    failed: int = 0
    lacking: int = 0
    problems: list[str] = field(default_factory=list)
    has: set[str] = field(default_factory=set)
    lacks: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    """By the reason, the lacking ones among them."""


def judge(lesson: str, status: int, junit: bytes, expected: Mapping[str, ExpectedLack], seconds: float = 0.0) -> Result:
    """The verdict on ``lesson``.

    ``status`` is pytest's exit status (negative: the signal that ended it), ``junit`` its report, empty where it wrote
    none, and ``expected`` what is expected to be lacking in this cell.
    """
    report = read_junit(junit)
    if status == InfrastructureError.exit_status:
        return infrastructure(lesson, report.problems or ["The machine was lost."], seconds)
    why = report.problems + contradictions(report.has, report.lacks, expected)
    if status != 0 and not report.failed:
        why.append(f"pytest ended with status {status}.")
    if not (report.passed or report.failed or report.lacking):
        why.append("Nothing was checked.")
    verdict: Verdict = "failed" if why else "passed" if report.passed else "lacking"
    return Result(
        lesson, verdict, tuple(why), seconds, report.passed, report.failed, report.lacking, dict(report.lacks)
    )


def infrastructure(lesson: str, why: Iterable[str], seconds: float = 0.0) -> Result:
    """The result where there was no machine to play on."""
    return Result(lesson, "infrastructure", tuple(why), seconds)


def contradictions(has: Iterable[str], lacks: Mapping[str, str], expected: Mapping[str, ExpectedLack]) -> list[str]:
    """Where the machine and lab.yaml differ about what is lacking: a sentence each."""
    unexpected = [
        f"{need} is lacking, which lab.yaml does not expect here: {reason}."
        for need, reason in lacks.items()
        if need not in expected
    ]
    unfounded = [
        f"{need} is there, and {_file_name(expected[need].place)} expects it to be lacking here: {expected[need].why}."
        for need in sorted(has)
        if need in expected
    ]
    return unexpected + unfounded


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on all of them together."""
    order: tuple[Verdict, ...] = ("failed", "infrastructure", "passed", "lacking")
    return min(verdicts, key=order.index, default="lacking")


def exit_status(verdicts: Iterable[Verdict]) -> int:
    """0: green. 1: something failed. 7: nothing did, but a machine was not to be had."""
    return {"failed": 1, "infrastructure": InfrastructureError.exit_status}.get(worst(verdicts), 0)


def short(text: str, longest: int = LONGEST_REASON) -> str:
    """One line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def read_junit(junit: bytes) -> Junit:
    """Count the cases of pytest's ``--junitxml``. An empty or torn one (the run was killed) counts nothing.

    One case may hold both a failure and an error (a test that failed and whose tear-down did): it failed once.
    """
    report = Junit()
    try:
        root = ElementTree.fromstring(junit)  # noqa: S314  # our own pytest wrote it a moment ago
    except ElementTree.ParseError:
        return report
    for case in root.iter("testcase"):
        for each in case.iter("property"):
            name, value = each.get("name"), each.get("value", "")
            if name == "has":
                report.has.add(value)
            elif name == "lacks":
                need, _, reason = value.partition(": ")
                report.lacks[need] = reason
        problem = case.find("failure")
        problem = case.find("error") if problem is None else problem
        skipped = case.find("skipped")
        if problem is not None:
            report.failed += 1
            words = problem.get("message") or (problem.text or "").strip() or "no reason was given"
            report.problems.append(f"{case.get('name')}: {short(words)}")
        elif skipped is None:
            report.passed += 1
        else:
            report.skipped[skipped.get("message") or "without a reason"] += 1
            report.lacking += skipped.get("type") == "lacking"  # what was not run follows a failure, which counts
    return report


def _file_name(place: str) -> str:
    """``lab.yaml:47`` of the whole path."""
    return place.replace("\\", "/").rpartition("/")[2]
