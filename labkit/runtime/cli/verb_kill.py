"""Send a signal (SIGKILL, if none is named) to the first process of containers.

Examples:
  labkit kill redis
  labkit kill -s HUP web
"""

from __future__ import annotations

from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import record
from labkit.runtime.kernel import signals

COMMAND = Command(
    "CONTAINER …",
    (
        Option(("signal", "s"), "by name or number (KILL)", "SIGNAL", "KILL"),
        Option(("explain",), "print each operation as it is done"),
    ),
    most=-1,
)


def main(call: Call) -> int:
    """Send it in turn; all names are looked up first."""
    number = signals.number(call.options.signal)
    if call.options.explain:
        explain.listen()
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.kill(container, number)
        print(word)
    return 0
