"""Let paused containers go on.

Examples:
  labkit unpause redis
  labkit unpause $(labkit ps -q)
"""

from __future__ import annotations

from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER …",
    (Option(("explain",), "print each operation as it is done"),),
    most=-1,
)


def main(call: Call) -> int:
    """Let them go on in turn; all names are looked up first."""
    if call.options.explain:
        explain.listen()
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.unpause(container)
        print(word)
    return 0
