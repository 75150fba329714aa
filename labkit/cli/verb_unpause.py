"""Let paused containers go on.

Examples:
  labkit unpause redis
  labkit unpause $(labkit ps -q)
"""

from __future__ import annotations

from labkit.cli import explain
from labkit.cli.options import Call, Command, Option
from labkit.engine import lifecycle, record

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
