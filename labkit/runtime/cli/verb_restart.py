"""Stop containers and start them again.

Examples:
  labkit restart redis
  labkit restart -t 0 redis      kills it at once
"""

from __future__ import annotations

from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.cli.verb_stop import check_seconds
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER …",
    (
        Option(("time", "t"), "how long to wait for its end (10)", "SECONDS", None, kind="float"),
        Option(("explain",), "print each operation as it is done"),
    ),
    most=-1,
)


def main(call: Call) -> int:
    """Restart them in turn; all names are looked up first."""
    check_seconds(call.options.time)
    if call.options.explain:
        explain.listen()
    from labkit.runtime.engine.life.run import start_again  # local: a mistyped option is answered sooner

    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.stop(container, call.options.time)
        start_again(container, attached=False, stdin=False)
        print(word)
    return 0
