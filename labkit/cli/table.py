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
    """The largest unit that fits, in whole numbers."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    count = max(0, int(seconds))
    return f"{count} second{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Bytes in powers of 1000, as docker shows images."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}GB"


def in_a_line(text: str) -> str:
    """Anything, as a table can show it: what cannot be printed becomes a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
