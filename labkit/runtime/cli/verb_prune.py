"""Remove all containers that do not run.

Examples:
  labkit prune
  labkit prune -f               without a question
  labkit prune -f --explain
"""

from __future__ import annotations

import sys

from labkit.runtime.cli import explain, table
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import gc, prune

COMMAND = Command(
    "",
    (
        Option(("force", "f"), "do not ask"),
        Option(("explain",), "print each operation as it is done"),
    ),
    least=0,
    most=0,
)


def main(call: Call) -> int:
    """Ask, and remove them."""
    gc.collect_quietly()
    found = prune.candidates()
    if found and not call.options.force and not _agreed([container.name for container in found]):
        return 1
    if call.options.explain:
        explain.listen()
    removed, freed = prune.remove(found)
    for container in removed:
        print(container.id)
    print(f"{len(removed)} containers removed, {table.size(freed)} freed", file=sys.stderr)
    return 0


def _agreed(names: list[str]) -> bool:
    print(f"This removes {', '.join(names)}, with what they wrote. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
