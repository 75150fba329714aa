"""Signals by their names, as kill(1) takes them (signal(7))."""

from __future__ import annotations

import signal

from labkit.errors import UsageError


def number(word: str) -> int:
    """The number of ``9``, ``KILL``, ``SIGKILL``, ``sigkill`` or ``SIGRTMIN+3``. UsageError for no signal."""
    if word.isascii() and word.isdigit():
        found = int(word)
    else:
        name, plus, offset = word.upper().partition("+")
        name = name if name.startswith("SIG") else f"SIG{name}"
        found = int(getattr(signal.Signals, name, 0)) if name.isalnum() else 0
        if plus:
            found = found + int(offset) if found and offset.isdigit() else 0
    if found not in signal.valid_signals():
        raise UsageError(f'unknown signal "{word}"', "by name or number: see 'kill -l'")
    return found


def name(number: int) -> str:
    """As kill(1) takes it: ``TERM``, or the number of one that has no name."""
    try:
        return signal.Signals(number).name[3:]
    except ValueError:  # between SIGRTMIN and SIGRTMAX
        return str(number)
