"""Remove networks. One with a running container in it stays.

Examples:
  labkit network rm shop
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, VerbCall
from labkit.runtime.network import definitions

COMMAND = Command("NETWORK …", (), most=-1)


def main(call: VerbCall) -> int:
    """Remove them in turn; all names are looked up first."""
    for network in [definitions.find(name) for name in call.arguments]:
        definitions.remove(network.name)
        print(network.name)
    return 0
