"""Stop containers: SIGTERM, and SIGKILL to those that have not ended in time.

Examples:
  labkit stop redis
  labkit stop -t 0 $(labkit ps -q)
"""

from __future__ import annotations

from labkit.cli.options import Call, Command, Option
from labkit.engine import lifecycle, record
from labkit.errors import UsageError

COMMAND = Command(
    "CONTAINER …",
    (Option(("time", "t"), "how long to wait (10)", "SECONDS", 10.0),),
    most=-1,
)


def main(call: Call) -> int:
    """Stop them in turn; all names are looked up first."""
    if not 0 <= call.options.time <= 86400:  # not a number is not in between, either
        raise UsageError(f"-t {call.options.time:g} is not possible", "seconds from 0 (kills at once) to 86400")
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.stop(container, call.options.time)
        print(word)
    return 0
