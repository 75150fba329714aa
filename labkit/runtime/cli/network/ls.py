"""List networks.

Examples:
  labkit network ls
  labkit network ls -q
  labkit network ls --json
  labkit network ls --format '{{.Name}}: {{.Driver}}'

The fields of --format are docker's: Name, Driver, Scope, Internal and CreatedAt.
"""

from __future__ import annotations

from labkit.runtime.cli import table
from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.net import networks
from labkit.runtime.network import definitions
from labkit.runtime.std import json

COMMAND = Command(
    "",
    (
        Option(("quiet", "q"), "only the names"),
        Option(("format",), "a template, or json", "TEMPLATE", ""),
        Option(("json",), "all that is known of them, as a JSON list"),
    ),
    least=0,
    most=0,
)


def main(call: VerbCall) -> int:
    """List them, labkit0 first."""
    known = definitions.everything()
    if call.options.quiet:
        print("\n".join(network.name for network in known))
        return 0
    shown = [networks.shown(network) for network in known]
    if call.options.json:
        print(json.dumps(shown, indent=2))
        return 0
    if call.options.format:
        from labkit.runtime.cli import template  # local: most calls do without
        from labkit.runtime.cli.dockernames import network as docker_network

        rows = [docker_network.row(network) for network in shown]
        print("\n".join(template.listing(call.options.format, rows, docker_network.FIELDS)))
        return 0
    head = ["NAME", "DRIVER", "SUBNET", "GATEWAY", "BRIDGE", "CONTAINERS"]
    cells = [
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
    print(table.render(head, cells))
    return 0
