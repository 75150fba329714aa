"""What became of each stage of ``invoke test``: read from pytest's reports, shown as a table at the end."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from labkit.errors import InfrastructureError
from labkit.host.lab import paths, programs, records
from labkit.host.matrix.verdict import Result, read_junit, short, worst
from labkit.host.terminal import print_table

Verdict = Literal["passed", "failed", "not run", "unreachable"]
"""``unreachable``: the machine could not be brought up or was lost, which says nothing about what was to be tested."""

_COLOURS: dict[Verdict, str] = {"passed": "green", "failed": "bold red", "not run": "yellow", "unreachable": "magenta"}

NO_TESTS_COLLECTED = 5
"""pytest.ExitCode.NO_TESTS_COLLECTED."""

LONGEST_REASON = 200
"""Characters of one reason that the table shows; a skipped test's reason may hold a whole message."""


@dataclass(frozen=True)
class Outcome:
    """A row of the table."""

    title: str
    verdict: Verdict
    passed: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    """Reason -> number of tests that could not run for it."""
    seconds: float = 0.0
    why: str = ""
    """What is to be said of a stage that did not simply pass."""


def of_pytest(title: str, status: int, report: bytes, *, may_be_empty: bool = False) -> Outcome:
    """What pytest's exit status and report say together. A stage in which no test passed has not passed.

    ``may_be_empty``: a keyword chose among the tests, and that there is none of that kind here is no failure.
    """
    found = read_junit(report)
    verdict: Verdict = "failed"
    why = "" if found.failed else f"pytest ended with status {status}"
    if status == NO_TESTS_COLLECTED and may_be_empty:
        verdict, why = "not run", "no test matches the keyword"
    elif status == NO_TESTS_COLLECTED:
        why = "there is not a single test"
    elif status == InfrastructureError.exit_status:
        verdict, why = "unreachable", "the machine was lost"
    elif status == 0 and found.passed:
        verdict, why = "passed", ""
    elif status == 0 and found.skipped:
        verdict, why = "not run", "every test was skipped"
    elif status == 0:
        why = "pytest was content, and its report holds no test"
    return Outcome(title, verdict, found.passed, found.failed, dict(found.skipped), why=why)


def of_matrix(title: str, results: Sequence[Result]) -> Outcome:
    """The matrix as a row: a lesson in a cell counts as one test."""
    count = Counter(result.verdict for result in results)
    reasons = Counter(
        f"{need}: {why}" for result in results if result.verdict == "lacking" for need, why in result.lacks.items()
    )
    verdicts: dict[str, Verdict] = {"failed": "failed", "infrastructure": "unreachable"}
    verdict = verdicts.get(worst(result.verdict for result in results), "passed")
    why = [f"{result.lesson}: {reason}" for result in results if result.verdict in verdicts for reason in result.why]
    return Outcome(title, verdict, count["passed"], count["failed"], dict(reasons), why="; ".join(why))


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """1 where a test failed or nothing ran at all, 7 where the machine was not to be had, else 0."""
    outcomes = list(outcomes)
    if any(outcome.verdict == "failed" for outcome in outcomes) or not any(outcome.passed for outcome in outcomes):
        return 1
    return 7 if any(outcome.verdict == "unreachable" for outcome in outcomes) else 0


def headline(title: str) -> None:
    """Announce a stage, on standard error as all progress."""
    Console(file=sys.stderr).rule(f"[bold]{title}", align="left")


def closing_line(outcome: Outcome) -> None:
    """How a stage ended and how long it took, as soon as that is known; pytest has named its slowest tests above."""
    counts = f"{outcome.passed} passed, {outcome.failed} failed, {sum(outcome.skipped.values())} skipped"
    line = f"{outcome.title}: {outcome.verdict} after {outcome.seconds:.1f} s ({counts})"
    Console(file=sys.stderr).print(line, style=_COLOURS[outcome.verdict], markup=False, highlight=False)


def show_other_tier(left_out: Sequence[tuple[str, str]], record: Mapping[str, Mapping[str, Any]]) -> None:
    """What ``--all`` would add to each stage (its title, and what), and what is known of its last run here."""
    print("What `invoke test --all` adds, and when it last ran here:")
    for title, more in left_out:
        known = record.get(title)
        last = f"{known.get('verdict')} {known.get('when')} at {known.get('commit')}" if known else "never"
        print(f"{title}: {more} ({last})")


def show(outcomes: Sequence[Outcome]) -> None:
    """The table, then what could not run and why."""
    heads = ("stage", "verdict", "passed", "failed", "skipped", "seconds")
    rows = []
    for each in outcomes:
        counts = (each.passed, each.failed, sum(each.skipped.values()), f"{each.seconds:.1f}")
        rows.append((each.title, f"[{_COLOURS[each.verdict]}]{each.verdict}[/]", *map(str, counts)))
    print("\nWhat ran:")
    print_table(heads, rows)
    print(*explanations(outcomes), sep="\n", flush=True)


def explanations(outcomes: Iterable[Outcome]) -> list[str]:
    """One line for everything that did not run or did not pass, with its reason."""
    lines = []
    for outcome in outcomes:
        if outcome.why:
            lines.append(f"{outcome.title}, {outcome.verdict}: {short(outcome.why, LONGEST_REASON)}")
        lines += [
            f"{outcome.title}, {number} skipped: {short(reason, LONGEST_REASON)}"
            for reason, number in sorted(outcome.skipped.items())
        ]
    return ["What could not run, or failed, and why:", *lines] if lines else ["Everything ran."]


def remember(outcome: Outcome) -> None:
    """Note how a stage of ``--all`` ended. A directory that cannot be written to makes no test fail.

    ``state_dir()/tests.json`` has title -> ``when`` (ISO 8601, UTC), ``verdict``, ``passed`` (a number), ``commit``.
    """
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "verdict": outcome.verdict,
        "passed": outcome.passed,
        "commit": _commit(),
    }
    with contextlib.suppress(OSError):
        _place().parent.mkdir(parents=True, exist_ok=True)
        records.write(_place(), {**remembered(), outcome.title: entry})


def remembered() -> dict[str, dict[str, Any]]:
    """What is remembered; nothing where that cannot be read."""
    return {title: entry for title, entry in records.read(_place()).items() if isinstance(entry, dict)}


def _place() -> Path:
    """Not below the machines of the tests, which have a state directory of their own while they run."""
    state = paths.state_dir()
    return (state.parent if state.name == "tests" else state) / "tests.json"


def _commit() -> str:
    """The checkout's, with a plus where something is not committed; empty where git does not know."""
    where = str(paths.checkout())
    return programs.said(["git", "-C", where, "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"])
