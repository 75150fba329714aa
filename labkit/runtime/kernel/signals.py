"""Signals by their names, as kill(1) takes them (signal(7))."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.std import signal

_NUMBERS: dict[str, int] = {
    word: value for word, value in vars(signal).items() if word.startswith("SIG") and word[3] != "_"
}
_NAMES = {_NUMBERS[word]: word for word in sorted(_NUMBERS, reverse=True)}
"""Of two names of one signal the first in the alphabet: CHLD and not CLD, IO and not POLL."""


def number(word: str, least: int = 1) -> int:
    """The number of ``9``, ``KILL``, ``SIGKILL``, ``sigkill``, ``SIGRTMIN+3`` or ``RTMAX-2``. UsageError for no signal.

    With ``least`` 0 also that of ``0``, which asks whether a process could be signalled, and is never sent (kill(2)).
    """
    if word.isascii() and word.isdigit():
        found = int(word)
        known = least <= found < signal.NSIG  # 32 and 33, which the C library keeps for itself, included
    else:
        found = _by_name(word.upper())
        known = found in signal.valid_signals()
    if not known:
        raise UsageError(f'unknown signal "{word}"', "by name or number: see 'kill -l'")
    return found


def _by_name(word: str) -> int:
    """0 for no name. Only the two ends of the real-time signals are counted from (signal(7))."""
    sign = next((sign for sign in "+-" if sign in word), "")
    name, _, offset = word.partition(sign) if sign else (word, "", "0")
    name = name if name.startswith("SIG") else f"SIG{name}"
    counted = {"": True, "+": name == "SIGRTMIN", "-": name == "SIGRTMAX"}[sign]
    first = _NUMBERS.get(name, 0)
    if not first or not counted or not (offset.isascii() and offset.isdigit()):
        return 0
    return first + int(sign + offset)


def name(number: int) -> str:
    """As kill(1) takes it: ``TERM``, or the number of one that has no name."""
    return _NAMES[number][3:] if number in _NAMES else str(number)  # (between SIGRTMIN and SIGRTMAX)
