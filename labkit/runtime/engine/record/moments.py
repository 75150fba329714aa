"""Moments as docker's --since and --until take them."""

from __future__ import annotations

import math

from labkit.errors import UsageError
from labkit.runtime.text import timestamps

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse(text: str, now: float) -> float:
    """Seconds since the epoch: of RFC 3339 (a part of it is enough, in our own time zone), of a number of such seconds,
    or of a duration before ``now``, as ``10m`` or ``1h30m``. UsageError for anything else.
    """
    try:
        number = float(text)
    except ValueError:
        seconds = _duration(text)
        number = _date(text) if seconds is None else now - seconds
    if not math.isfinite(number):
        raise _refusal(text)
    return number


def _duration(text: str) -> float | None:
    total = 0.0
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if rest[digits:].startswith(unit)), "")
        try:
            total += float(rest[:digits]) * _UNITS[unit]
        except (ValueError, KeyError):
            return None
        rest = rest[digits + len(unit) :]
    return total if text else None


def _date(text: str) -> float:
    try:
        return timestamps.seconds_of(text)
    except ValueError:
        raise _refusal(text) from None


def _refusal(text: str) -> UsageError:
    return UsageError(f"'{text}' is no moment", "as 2024-05-01T12:00:00Z, 1714564800 (seconds since 1970) or 10m (ago)")


def rfc3339(moment: float) -> str:
    """In UTC with nine digits of fraction, as docker's logs have it: they sort as text."""
    whole = math.floor(moment)
    return timestamps.of_nanoseconds(whole * 10**9 + int((moment - whole) * 1e9))
