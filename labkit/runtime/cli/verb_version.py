"""Show labkit's version, and those of what it runs on.

Examples:
  labkit version
  labkit version --json
"""

from __future__ import annotations

from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.show import information
from labkit.runtime.std import json

COMMAND = Command("", (Option(("json",), "a JSON object"),), least=0, most=0)


def main(call: Call) -> int:
    """Print them."""
    found = information.version()
    if call.options.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{name.replace('_', ' '):<18}{words}" for name, words in found.items()))
    return 0
