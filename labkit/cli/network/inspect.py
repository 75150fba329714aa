"""Show all that is known of networks, as a JSON list: definition, rules' chain, containers with their addresses.

Examples:
  labkit network inspect labkit0
  labkit network inspect shop vault
"""

from __future__ import annotations

import json

from labkit.cli.options import Call, Command
from labkit.engine import networks
from labkit.network import definitions

COMMAND = Command("NETWORK …", (), most=-1)


def main(call: Call) -> int:
    """Print them."""
    print(json.dumps([networks.shown(definitions.find(name)) for name in call.arguments], indent=2))
    return 0
