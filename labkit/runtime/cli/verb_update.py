"""Change the limits of running containers, at once and without a restart.

Examples:
  labkit update --cpus 0.25 redis
  labkit update --memory 128m --memory-swap 256m redis
  labkit update --explain --pids-limit -1 redis      shows the line that does it

If one of a container's limits cannot be set, none of them is changed.
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli import limitflags
from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.life import gc, update
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER …",
    (
        *limitflags.OPTIONS,
        Option(("explain",), "print what is written where"),
    ),
    most=-1,
)


def main(call: VerbCall) -> int:
    """Change them in turn; all names are looked up first."""
    wanted = limitflags.resources(call.options)
    if not wanted:
        raise UsageError("no limit is given", "one or more of them, as labkit update --cpus 0.5 redis")
    gc.collect_quietly()
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        update.update(container, wanted)
        print(word)
    return 0
