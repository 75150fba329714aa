"""Show what a container wrote to its standard output and error.

Examples:
  labkit logs redis
  labkit logs -f --tail 10 redis
  labkit logs -t --since 10m redis
"""

from __future__ import annotations

import time

from labkit.errors import UsageError
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.record import moments, record
from labkit.runtime.engine.show import logs

COMMAND = Command(
    "CONTAINER",
    (
        Option(("follow", "f"), "go on until the container has ended"),
        Option(("tail", "n"), "the last N lines only, or all", "N", "all"),
        Option(("since",), "from then on: 2024-05-01T12:00:00Z, seconds since 1970, or 10m (ago)", "MOMENT", ""),
        Option(("until",), "up to then", "MOMENT", ""),
        Option(("timestamps", "t"), "when each line was written, in UTC"),
    ),
)


def main(call: Call) -> int:
    """Print them."""
    options, now = call.options, time.time()
    if options.tail != "all" and not (options.tail.isascii() and options.tail.isdigit() and len(options.tail) < 19):
        raise UsageError(f"--tail {options.tail} is not possible", "a number of lines; 0 with -f shows what is to come")
    choice = logs.Choice(
        tail=None if options.tail == "all" else int(options.tail),
        since=moments.parse(options.since, now) if options.since else None,
        until=moments.parse(options.until, now) if options.until else None,
        timestamps=options.timestamps,
    )
    logs.show(record.find(call.arguments[0]), options.follow, choice)
    return 0
