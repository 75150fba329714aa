"""Compares what a command printed with what the lesson expects: as doctest does, line by line. Pure.

``...`` inside a line stands for any text of that line, also for none; a line that is nothing but ``...`` stands for any
number of lines, also for none. Spaces at the end of a line and empty lines at the end of the output do not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ANYTHING = "..."


@dataclass(frozen=True)
class Mismatch:
    """Both texts as lines, and where they part."""

    expected: tuple[str, ...]
    got: tuple[str, ...]
    expected_line: int
    """Index of the first expected line that could not be matched; ``len(expected)`` where more came than expected."""
    got_line: int
    """Index of the first line that came and was not expected; ``len(got)`` where less came than expected."""


def compare(expected: str, got: str) -> Mismatch | None:
    """None where ``got`` is what ``expected`` says."""
    wanted, came = _lines(expected), _lines(got)
    patterns = [None if line.strip() == ANYTHING else _pattern(line) for line in wanted]
    # ``reached`` holds every number of lines that the patterns so far can have used up; several, since a ``...`` can
    # end anywhere. It is a set and not a search with backtracking, so that no lesson can make it take exponential time.
    reached = {0}
    for index, pattern in enumerate(patterns):
        if pattern is None:
            following = set(range(min(reached), len(came) + 1))
        else:
            following = {at + 1 for at in reached if at < len(came) and pattern.fullmatch(came[at])}
        if not following:
            # After a ``...`` the expected line could have been anywhere from there on: point to the first place.
            return Mismatch(tuple(wanted), tuple(came), index, min(reached))
        reached = following
    if len(came) in reached:
        return None
    return Mismatch(tuple(wanted), tuple(came), len(wanted), max(reached))


def _lines(text: str) -> list[str]:
    """Lines without the white space that does not count."""
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _pattern(line: str) -> re.Pattern[str]:
    """A line's regular expression: everything literal except ``...``."""
    return re.compile(".*".join(re.escape(piece) for piece in line.split(ANYTHING)))


def diff(mismatch: Mismatch) -> list[tuple[str, str]]:
    """The mismatch as lines to show: pairs of a sign and a text.

    ``" "`` is a line that both have, ``"-"`` one that was expected, ``"+"`` one that came; the first difference is
    preceded by ``"?"`` with words that say what it is.
    """
    shown = [(" ", line) for line in mismatch.got[: mismatch.got_line]]
    missing = mismatch.expected[mismatch.expected_line :]
    extra = mismatch.got[mismatch.got_line :]
    if not missing:
        words = "nothing more was expected here"
    elif not extra:
        words = "the output ends here, and this was still expected"
    else:
        words = "here they part"
    shown.append(("?", words))
    shown += [("-", line) for line in missing]
    shown += [("+", line) for line in extra]
    return shown
