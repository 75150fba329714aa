"""Moments as texts, as RFC 3339 has them: ``2024-05-01T12:00:00.123456789Z``."""

from __future__ import annotations

import time


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
    zone = ""
    if dot:  # nanoseconds are more than Python reads
        digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
        zone = fraction[len(digits) :]
        whole = f"{whole}.{digits[:6]:0<6}"
    text_of_it = f"{whole}{zone}"
    if text_of_it.endswith("Z"):
        text_of_it = f"{text_of_it[:-1]}+00:00"
    try:
        return datetime.datetime.fromisoformat(text_of_it).timestamp()
    except (OverflowError, OSError) as error:
        raise ValueError(f"'{text}' is out of range") from error
