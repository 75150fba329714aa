"""Signals by their names, as kill(1) takes them (signal(7))."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.kernel import basicsignal as signal


def number(word: str) -> int:
    """The number of ``9``, ``KILL``, ``SIGKILL``, ``sigkill`` or ``SIGRTMIN+3``. UsageError for no signal."""
    if word.isascii() and word.isdigit():
        found = int(word)
    else:
        from signal import Signals  # local, as below: names are needed seldom, and take 1.5 ms

        name, plus, offset = word.upper().partition("+")
        name = name if name.startswith("SIG") else f"SIG{name}"
        found = int(getattr(Signals, name, 0)) if name.isalnum() else 0
        if plus:
            found = found + int(offset) if found and offset.isdigit() else 0
    if found not in signal.valid_signals():
        raise UsageError(f'unknown signal "{word}"', "by name or number: see 'kill -l'")
    return found


def name(number: int) -> str:
    """As kill(1) takes it: ``TERM``, or the number of one that has no name."""
    from signal import Signals

    try:
        return Signals(number).name[3:]
    except ValueError:  # between SIGRTMIN and SIGRTMAX
        return str(number)
