"""Join a container to a network: a running one at once (by another cable), another one at its next start.

Examples:
  labkit network connect shop web
  labkit network connect --ip 10.90.0.9 --alias www shop web
  labkit network connect --explain shop web
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.net import connecting
from labkit.runtime.engine.record import record

COMMAND = Command(
    "NETWORK CONTAINER",
    (
        Option(("ip",), "its address there", "ADDRESS", ""),
        Option(("alias",), "another name there, may be repeated", "NAME", many=True),
        Option(("explain",), "print each operation as it is done"),
    ),
    least=2,
    most=2,
)


def main(call: VerbCall) -> int:
    """Join it."""
    if call.options.explain:
        from labkit.runtime.cli import explain

        explain.listen()
    network, name = call.arguments
    connecting.connect(record.find(name).id, network, call.options.ip, call.options.alias)
    return 0
