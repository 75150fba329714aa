"""Give a container another name.

Examples:
  labkit rename redis store
  labkit rename --explain redis store
"""

from __future__ import annotations

from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import rename
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER NAME",
    (Option(("explain",), "print each operation as it is done"),),
    least=2,
    most=2,
)


def main(call: Call) -> int:
    """Rename it."""
    word, name = call.arguments
    if call.options.explain:
        explain.listen()
    rename.rename(record.find(word), name)
    return 0
