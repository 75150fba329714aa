"""Compares what a command printed with what the lesson expects: as doctest does, line by line. Pure.

``...`` inside a line stands for any text of that line, also for none; a line that is nothing but ``...`` stands for any
number of lines, also for none. Spaces at the end of a line and empty lines at the end of the output do not count.
"""

from __future__ import annotations

import re

ANYTHING = "..."


def compare(expected: str, got: str) -> list[tuple[str, str]]:
    """Empty where ``got`` is what ``expected`` says; else lines to show, pairs of a sign and a text.

    ``" "`` is a line that both have, ``"-"`` one that was expected, ``"+"`` one that came; the first difference is
    preceded by ``"?"`` with words that say what it is.
    """
    wanted, came = _lines(expected), _lines(got)
    # ``reached`` holds every number of lines that the patterns so far can have used up; several, since a ``...`` can
    # end anywhere. It is a set and not a search with backtracking, so that no lesson can make it take exponential time.
    reached = {0}
    for index, line in enumerate(wanted):
        if line.strip() == ANYTHING:
            following = set(range(min(reached), len(came) + 1))
        else:
            pattern = _pattern(line)
            following = {at + 1 for at in reached if at < len(came) and pattern.fullmatch(came[at])}
        if not following:
            # After a ``...`` the expected line could have been anywhere from there on: point to the first place.
            return _difference(came, min(reached), wanted[index:])
        reached = following
    return [] if len(came) in reached else _difference(came, max(reached), [])


def _lines(text: str) -> list[str]:
    """Lines without the white space that does not count."""
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _pattern(line: str) -> re.Pattern[str]:
    """A line's regular expression: everything literal except ``...``."""
    return re.compile(".*".join(re.escape(piece) for piece in line.split(ANYTHING)))


def _difference(came: list[str], at: int, missing: list[str]) -> list[tuple[str, str]]:
    """``at`` is the index of the first line that came and was not expected; ``missing`` is expected there."""
    if not missing:
        words = "nothing more was expected here"
    elif at == len(came):
        words = "the output ends here, and this was still expected"
    else:
        words = "here they part"
    same, extra = [(" ", line) for line in came[:at]], [("+", line) for line in came[at:]]
    return [*same, ("?", words), *[("-", line) for line in missing], *extra]
