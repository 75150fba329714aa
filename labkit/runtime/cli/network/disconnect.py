"""Take a container out of a network, at once if it runs.

Examples:
  labkit network disconnect shop web
  labkit network disconnect --explain shop web
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.net import connecting
from labkit.runtime.engine.record import record

COMMAND = Command("NETWORK CONTAINER", (Option(("explain",), "print each operation as it is done"),), least=2, most=2)


def main(call: VerbCall) -> int:
    """Take it out."""
    if call.options.explain:
        from labkit.runtime.cli import explain

        explain.listen()
    network, name = call.arguments
    connecting.disconnect(record.find(name).id, network)
    return 0
