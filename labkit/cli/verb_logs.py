"""Show what a container wrote to its standard output and error.

Examples:
  labkit logs redis
  labkit logs -f --tail 10 redis
"""

from __future__ import annotations

import sys

from labkit.cli.options import Call, Command, Option
from labkit.engine import logs, record
from labkit.errors import UsageError

COMMAND = Command(
    "CONTAINER",
    (
        Option(("follow", "f"), "go on until the container has ended"),
        Option(("tail", "n"), "the last N lines only", "N", None, kind="int"),
    ),
)


def main(call: Call) -> int:
    """Print them."""
    tail = call.options.tail
    if tail is not None and not 0 <= tail <= sys.maxsize:
        raise UsageError(f"--tail {tail} is not possible", "a number of lines; 0 with -f shows what is to come")
    logs.show(record.find(call.arguments[0]), call.options.follow, tail)
    return 0
