"""List networks.

Examples:
  labkit network ls
  labkit network ls -q
  labkit network ls --json
"""

from __future__ import annotations

from labkit.cli import table
from labkit.cli.options import Call, Command, Option
from labkit.engine import networks
from labkit.network import definitions

COMMAND = Command(
    "",
    (Option(("quiet", "q"), "only the names"), Option(("json",), "all that is known of them, as a JSON list")),
    least=0,
    most=0,
)


def main(call: Call) -> int:
    """List them, labkit0 first."""
    known = definitions.everything()
    if call.options.quiet:
        print("\n".join(network.name for network in known))
        return 0
    shown = [networks.shown(network) for network in known]
    if call.options.json:
        import json

        print(json.dumps(shown, indent=2))
        return 0
    head = ["NAME", "DRIVER", "SUBNET", "GATEWAY", "BRIDGE", "CONTAINERS"]
    rows = [
        [
            network["name"],
            network["driver"] + (" (internal)" if network["internal"] else ""),
            network["subnet"],
            network["gateway"],
            network["bridge"],
            str(len(network["containers"])),
        ]
        for network in shown
    ]
    print(table.render(head, rows))
    return 0
