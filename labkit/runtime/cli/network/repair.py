"""Put back the rules of networks and published ports that a reload of the firewall took away.

It says what was missing, as the commands that put it back. What is there is left alone.

Examples:
  labkit network repair
  labkit network repair --json
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.net import networks
from labkit.runtime.std import json

COMMAND = Command("", (Option(("json",), "the commands as a JSON list"),), 0, 0)


def main(call: VerbCall) -> int:
    """Repair, and print what was missing."""
    commands = networks.repair()
    if call.options.json:
        print(json.dumps(commands, indent=2))
    elif commands:
        print("was missing, and is put back:")
        print("\n".join(f"  {command}" for command in commands))
    else:
        print("nothing is missing")
    return 0
