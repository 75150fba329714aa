"""What a benchmark found, and how it is shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

#: What is better.
SMALLER, LARGER = "smaller", "larger"

WARNING = "warning: "
"""How a line of inside.py's standard error begins that is to be shown, and keeps nothing from being measured."""


@dataclass(frozen=True)
class Row:
    """One line. ``to_reach`` and ``reach_for`` are about ``ratio``: a ratio or, with a ``unit``, a figure."""

    what: str
    ours: str
    """Measured, with its unit."""
    beside: str
    """What it is compared with, measured, with its unit; empty where it stands alone."""
    ratio: float | None
    to_reach: float
    reach_for: float
    better: str = SMALLER
    unit: str = ""
    """Of ``ratio``: empty for a ratio, else for instance MiB."""
    missing: str = ""
    """Why it was not measured."""

    @property
    def verdict(self) -> str:
        """``reached``, ``not reached`` or why it was not measured."""
        if self.ratio is None:
            return self.missing or "not measured"
        good = self.ratio <= self.to_reach if self.better == SMALLER else self.ratio >= self.to_reach
        best = self.ratio <= self.reach_for if self.better == SMALLER else self.ratio >= self.reach_for
        return "reached, and more" if best else "reached" if good else "not reached"


@dataclass(frozen=True)
class Report:
    """All rows, and what they were measured with."""

    date: str
    versions: dict[str, str]
    runs: int
    rows: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: the fields, and each row's verdict."""
        return {**asdict(self), "rows": [{**asdict(row), "verdict": row.verdict} for row in self.rows]}


def as_line(row: Row) -> str:
    """A row by itself, as soon as it is measured."""
    what, ours, beside, ratio, _, verdict = cells(row)
    figures = ", ".join(text for text in (ours, beside, ratio) if text)
    return f"{what}: {figures}: {verdict}" if figures else f"{what}: {verdict}"


def number(value: float | None, unit: str) -> str:
    """A ratio or a figure in few digits."""
    if value is None:
        return ""
    return f"{value:.2f}" if not unit else f"{value:.3g} {unit}"


def cells(row: Row) -> tuple[str, str, str, str, str, str]:
    """What a table shows of a row: what, ours, beside, ratio, to reach, verdict."""
    limit = "at most" if row.better == SMALLER else "at least"
    reach = f"{limit} {number(row.to_reach, row.unit)}, better {number(row.reach_for, row.unit)}"
    return row.what, row.ours, row.beside, number(row.ratio, row.unit), reach, row.verdict


HEADS = ("what", "labkit", "beside", "ratio", "to reach", "verdict")


def as_markdown(report: Report) -> str:
    """A table, with date and versions below."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{' --- |' * len(HEADS)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in report.rows]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines += ["", f"Medians of {report.runs} runs in turns, {report.date}: {versions}."]
    return "\n".join(lines) + "\n"
