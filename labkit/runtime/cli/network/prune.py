"""Remove the networks that no container uses, running or not.

Examples:
  labkit network prune
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.net import networks

COMMAND = Command("", (Option(("force", "f"), "docker asks without it; labkit does not", hidden=True),), 0, 0)


def main(call: VerbCall) -> int:
    """Remove them, and print their names."""
    for name in networks.prune():
        print(name)
    return 0
