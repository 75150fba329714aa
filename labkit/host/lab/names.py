"""What to say when a name is not known: the nearest ones, and all there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from labkit.errors import NotFoundError


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three of ``known`` that ``name`` may have meant, the likeliest first."""
    candidates = sorted(known)
    # A short name with one wrong letter scores low in difflib (2 of 3 letters is 0.67), so the cutoff is generous.
    close = difflib.get_close_matches(name, candidates, n=3, cutoff=0.55)
    beginnings = [candidate for candidate in candidates if name and candidate.startswith(name)]
    return list(dict.fromkeys(beginnings + close))[:3]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The beginning of a hint: ``Did you mean redis-nat? ``; empty where nothing is near."""
    close = nearest(name, known)
    return f"Did you mean {' or '.join(close)}? " if close else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint in one or two sentences: ``Did you mean redis-nat? There are: overlay, pid-1, redis-nat.``"""
    candidates = sorted(known)
    if not candidates:
        return "There are none."
    return f"{did_you_mean(name, candidates)}There are: {', '.join(candidates)}."


def not_found(kind: str, name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a ``kind`` ("scenario", "machine") of which there is none called ``name``."""
    return NotFoundError(f"There is no {kind} called “{name}”.", suggestion(name, known))
