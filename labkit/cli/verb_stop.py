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
    (Option(("time", "t"), "how long to wait (10)", "SECONDS", None, kind="float"),),
    most=-1,
)


def main(call: Call) -> int:
    """Stop them in turn; all names are looked up first."""
    check_seconds(call.options.time)
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.stop(container, call.options.time)
        print(word)
    return 0


def check_seconds(seconds: float | None) -> None:
    """UsageError for what cannot be waited for."""
    if seconds is not None and not 0 <= seconds <= 86400:  # not a number is not in between, either
        raise UsageError(f"-t {seconds:g} is not possible", "seconds from 0 (kills at once) to 86400")
