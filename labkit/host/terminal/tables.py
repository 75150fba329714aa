"""Tables for people and JSON for programs, on standard output."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

STDOUT = "-"
"""In place of a file's name."""


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output; into a pipe without colours, and without cutting long lines."""
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    # A cell is filled up with spaces, which a terminal does not show and a file should not hold.
    text = io.StringIO()
    Console(file=text, highlight=False, width=200).print(table)
    for line in text.getvalue().splitlines():
        print(line.rstrip())


def write_json(value: Any, file: str = STDOUT) -> None:
    """Print ``value``, indented, with a newline at the end, or write it to a file."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    if file == STDOUT:
        sys.stdout.write(text)
    else:
        Path(file).write_text(text, encoding="utf-8")
