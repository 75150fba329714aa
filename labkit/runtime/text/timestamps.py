"""Moments as texts: ``2024-05-01T12:00:00.123456789Z`` of RFC 3339, and what docker's --since and --until take; and
durations, as Go writes them.
"""

from __future__ import annotations

import math
import time

from labkit.errors import UsageError

#: In this order the first that fits is the one that is meant.
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def of_nanoseconds(moment: int) -> str:
    """So many nanoseconds since 1970, in UTC, all nine digits written: such texts sort as the moments do."""
    whole, fraction = divmod(moment, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:09}Z"


def seconds_of(text: str) -> float:
    """Seconds since 1970. A part is enough: the time of day may be missing, and without a zone it is our own's.

    ValueError for anything else.
    """
    import datetime  # local: few read one, and many write one

    whole, dot, fraction = text.partition(".")
    readable = text
    if dot:  # nanoseconds are more than Python reads
        zone = fraction.lstrip("0123456789")
        readable = f"{whole}.{fraction[: len(fraction) - len(zone)][:6]:0<6}{zone}"
    if readable.endswith("Z"):
        readable = f"{readable[:-1]}+00:00"
    try:
        return datetime.datetime.fromisoformat(readable).timestamp()
    except (OverflowError, OSError) as error:
        raise ValueError(f"'{text}' is out of range") from error


def parse(text: str, now: float) -> float:
    """Seconds since the epoch: of RFC 3339 (a part of it is enough, in our own time zone), of a number of such seconds,
    or of a duration before ``now``, as ``10m`` or ``1h30m``. UsageError for anything else.
    """
    try:
        number = float(text)
    except ValueError:
        seconds = duration(text)
        try:
            number = seconds_of(text) if seconds is None else now - seconds
        except ValueError:
            number = math.nan
    if not math.isfinite(number):
        hint = "as 2024-05-01T12:00:00Z, 1714564800 (seconds since 1970) or 10m (ago)"
        raise UsageError(f"'{text}' is no moment", hint)
    return number


def duration(text: str) -> float | None:
    """``1m30s``, ``500ms`` or ``2h`` in seconds; None where it is none."""
    total = 0.0
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((unit for unit in _UNITS if rest[digits:].startswith(unit)), "")
        try:
            total += float(rest[:digits]) * _UNITS[unit]
        except (ValueError, KeyError):
            return None
        rest = rest[digits + len(unit) :]
    return total if text else None


def rfc3339(moment: float) -> str:
    """In UTC with nine digits of fraction, as docker's logs have it: they sort as text."""
    whole = math.floor(moment)
    return of_nanoseconds(whole * 10**9 + int((moment - whole) * 1e9))
