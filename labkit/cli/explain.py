"""``--explain``: every operation as it is done, on standard error, with who does it and how long it took."""

from __future__ import annotations

import contextlib
import os
import sys

from labkit import log
from labkit.log import Event

_DIM, _BOLD, _PLAIN = "\033[2m", "\033[1m", "\033[0m"


def listen() -> None:
    """Print operations from now on. Colours only on a terminal, and not with NO_COLOR (no-color.org)."""
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")

    def show(event: Event) -> None:
        if event["event"] == "operation":
            head = f"{event['where']:<4} {event['seconds'] * 1000:7.1f} ms  "
            first, *rest = str(event["command"]).splitlines()
            lines = [first, *[" " * len(head) + line for line in rest]]
            text = f"{_DIM}{head}{_PLAIN}{_BOLD}" + "\n".join(lines) + _PLAIN if colours else head + "\n".join(lines)
            with contextlib.suppress(BrokenPipeError):  # who does not want to read on does not stop the container
                print(text, file=sys.stderr)

    log.listen(show)
