"""Show all that is known of networks, as a JSON list: definition, rules' chain, containers with their addresses;
and beside it what the kernel has now: the bridge, its ports, their addresses, routes and neighbours.

Examples:
  labkit network inspect labkit0
  labkit network inspect shop vault
  labkit network inspect -f '{{range .kernel.links}}{{.device}} {{end}}' labkit0
  labkit network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{end}}' shop

docker's names come first, with a capital; labkit's own follow. Templates are as with 'labkit inspect'.
"""

from __future__ import annotations

from labkit.runtime.cli import gotypes
from labkit.runtime.cli.dockernames import network as docker_network
from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.net import networks
from labkit.runtime.network import definitions
from labkit.runtime.std import json

COMMAND = Command(
    "NETWORK …", (Option(("format", "f"), "a template, as {{.Driver}}, or json", "TEMPLATE", ""),), most=-1
)


def main(call: VerbCall) -> int:
    """Print them."""
    known = [networks.compared(definitions.find(name)) for name in call.arguments]
    found = [{**docker_network.of(shown), **shown} for shown in known]
    if call.options.format:
        from labkit.runtime.cli import template  # local: most calls do without

        print("\n".join(template.inspection(call.options.format, found)))
    else:
        print(json.dumps(gotypes.plain(found), indent=4))
    return 0
