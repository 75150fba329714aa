"""Plain tables for people, and times as people say them."""

from __future__ import annotations

import time


def render(head: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell, three blanks between them, as docker prints."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]
    return "\n".join(lines)


def ago(moment: float) -> str:
    """``5 minutes ago``."""
    return f"{duration(time.time() - moment)} ago"


def duration(seconds: float) -> str:
    """In docker's words: the largest unit of which there are two, whole; only hours are rounded."""
    if seconds < 2:
        return "1 second" if seconds >= 1 else "Less than a second"
    if seconds < 60:
        return f"{int(seconds)} seconds"
    if seconds < 3600:
        return "About a minute" if seconds < 120 else f"{int(seconds / 60)} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for unit, length, most in (("hours", 1, 48), ("days", 24, 336), ("weeks", 168, 1440), ("months", 720, 17520)):
        if hours < most:
            return f"{hours // length} {unit}"
    return f"{int(seconds / 3600) // 8760} years"


def moment(seconds: float) -> str:
    """``2024-05-01 12:00:00 +0000 UTC``, in our own time zone, as docker's lists have it."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def size(count: float) -> str:
    """Bytes in powers of 1000 and three digits, as docker shows images, networks and disks."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB"), 3)


def memory(count: float) -> str:
    """Bytes in powers of 1024 and four digits, as docker shows memory."""
    return _scaled(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB"), 4)


def _scaled(value: float, base: int, units: tuple[str, ...], digits: int) -> str:
    for unit in units[:-1]:
        shown = f"{value:.{digits}g}"
        if float(shown) < base:  # (what is rounded up to 1000 is one of the next unit)
            return f"{shown}{unit}"
        value /= base
    return f"{value:.{digits}g}{units[-1]}"


def shortened(text: str, length: int) -> str:
    """At most so many letters; the last one is then a sign for the rest."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def in_a_line(text: str) -> str:
    """Anything, as a table can show it: what cannot be printed becomes a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
