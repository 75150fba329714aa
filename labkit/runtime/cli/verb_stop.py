"""Stop containers: SIGTERM, and SIGKILL to those that have not ended in time.

Examples:
  labkit stop redis
  labkit stop -t 0 $(labkit ps -q)
  labkit stop --dry-run redis          the same as a script, nothing done
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER …",
    (
        Option(("time", "t"), "how long to wait (10)", "SECONDS", None, kind="float"),
        Option(("explain",), "print each operation as it is done"),
        Option(("dry-run",), "print what would be done as a shell script, and do nothing"),
    ),
    most=-1,
)


def main(call: Call) -> int:
    """Stop them in turn; all names are looked up first."""
    check_seconds(call.options.time)
    found = [(word, record.find(word)) for word in call.arguments]
    if call.options.dry_run:
        from labkit.runtime.engine.script import undoscript  # local: only dry runs need it

        for _, container in found:
            print(undoscript.stop(container, lifecycle.patience(container, call.options.time), call.words), end="")
        return 0
    if call.options.explain:
        explain.listen()
    for word, container in found:
        with explain.by_shim(container, call.options.explain):
            lifecycle.stop(container, call.options.time)
        print(word)
    return 0


def check_seconds(seconds: float | None) -> None:
    """UsageError for what cannot be waited for."""
    if seconds is not None and not 0 <= seconds <= 86400:  # not a number is not in between, either
        raise UsageError(f"-t {seconds:g} is not possible", "seconds from 0 (kills at once) to 86400")
