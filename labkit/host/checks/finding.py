"""The words that all examinations share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "info", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one examination. ``invoke doctor --json`` prints a list of these, with these keys."""

    name: str
    """Of the examination, which the doctor gives it."""
    verdict: Verdict
    what: str
    """What was seen, in a sentence or less."""
    remedy: str = ""
    """What to do about it; never empty for a warning or a problem."""


def ok(what: str) -> Finding:
    """As it must be."""
    return Finding("", "ok", what)


def info(what: str) -> Finding:
    """Worth knowing, needs nothing."""
    return Finding("", "info", what)


def warning(what: str, remedy: str) -> Finding:
    """Works, but slowly or not in every case."""
    return Finding("", "warning", what, remedy)


def problem(what: str, remedy: str) -> Finding:
    """The lab will not work before this is mended."""
    return Finding("", "problem", what, remedy)


def gib(number: float) -> str:
    """Bytes as a person reads them: ``3.5 GiB``."""
    return f"{number / 2**30:.1f} GiB"
