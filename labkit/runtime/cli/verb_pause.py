"""Stop all processes of containers where they are; they notice nothing. 'labkit unpause' lets them go on.

Examples:
  labkit pause redis
  labkit pause --explain redis      shows the line that does it

A paused container answers nobody and uses no processor, and its memory stays. 'labkit stop' works on it,
'labkit exec' does not.
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
    """Pause in turn; all names are looked up first."""
    if call.options.explain:
        explain.listen()
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.pause(container)
        print(word)
    return 0
