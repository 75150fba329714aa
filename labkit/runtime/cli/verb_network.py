"""The commands of networks."""

from __future__ import annotations

import os
import sys
import time

from labkit.errors import UsageError
from labkit.runtime.cli import listing, table
from labkit.runtime.cli.dockernames.settings import shown_name
from labkit.runtime.cli.flags import EXPLAIN, Option, VerbCall, verb
from labkit.runtime.cli.gotypes import Mapping
from labkit.runtime.cli.main import subcommand
from labkit.runtime.engine.net import connecting, networks
from labkit.runtime.engine.record import record
from labkit.runtime.network import definitions, ipam
from labkit.runtime.network.model import Network
from labkit.runtime.network.watching import Event, Watch
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.std.typing import Any
from labkit.runtime.text import timestamps

_SIGNS = {"new": ("+", "\033[32m"), "changed": ("~", "\033[33m"), "gone": ("-", "\033[31m")}

# Each function below is a command, and its docstring the command's help.


@verb("COMMAND …", least=0, most=-1, takes_program=True)
def network(call: VerbCall) -> int:
    """Make networks, look at them, and join containers to them.

    Commands (``labkit network COMMAND --help`` tells more of each):
      create       make a network
      ls           list networks
      inspect      show all that is known of networks, as JSON
      watch        show links, addresses, routes and neighbours as they come and go
      connect      join a container to a network
      disconnect   take a container out of a network
      rm           remove networks
      prune        remove the networks that no container uses
      repair       put back the rules that a reload of the firewall took away

    Examples:
      labkit network create shop
      labkit run -d --network shop --name database redis
      labkit run --rm --network shop busybox ping -c 1 database
      labkit network rm shop
    """
    return subcommand(call, "network", COMMANDS)


@verb(
    "NETWORK",
    Option(("driver", "d"), "bridge (the default) or vlan", "DRIVER", "bridge"),
    Option(("subnet",), "its addresses, as 10.90.0.0/24 (a free one by default)", "SUBNET", ""),
    Option(("gateway",), "the bridge's own address (the first by default); a VLAN's router", "ADDRESS", ""),
    Option(("internal",), "without a way out"),
    Option(("parent",), "the device whose VLAN it is", "DEVICE", ""),
    Option(("vlan-id",), "the VLAN's number, 1 to 4094", "NUMBER", kind="int"),
)
def create(call: VerbCall) -> int:
    """Make a network. Its bridge comes with the first container and goes with the last.

    Containers of a network reach one another, by their names, too; those of other networks reach only published ports.
    --internal: no way out, and none in. The driver vlan puts containers into a VLAN (802.1Q) of a device of this
    machine.

    Examples:
      labkit network create shop
      labkit network create --subnet 10.90.0.0/24 --gateway 10.90.0.1 shop
      labkit network create --internal vault
      labkit network create --driver vlan --parent eth0 --vlan-id 10 --subnet 192.168.10.0/24 floor
    """
    own = call.options
    options = (own.driver, own.subnet, own.gateway, own.internal, own.parent, own.vlan_id)
    print(definitions.create(call.arguments[0], *options).name)
    return 0


@verb("", *listing.OPTIONS, least=0, most=0)
def ls(call: VerbCall) -> int:
    """List networks, labkit0 first.

    Examples:
      labkit network ls
      labkit network ls -q
      labkit network ls --json
      labkit network ls --format '{{.Name}}: {{.Driver}}'

    The fields of --format are docker's: Name, Driver, Scope, Internal and CreatedAt.
    """
    return listing.show(
        call.options,
        definitions.everything(),
        listing.headings("Name Driver Scope Internal CreatedAt name driver subnet gateway bridge containers"),
        ("name", "driver", "subnet", "gateway", "bridge", "containers"),
        plain=networks.shown,
        name=lambda network: network.name,
        entry=_row,
    )


def _row(network: Network) -> dict[str, Any]:
    """An entry of the list, all of it text: docker's fields, and our own."""
    shown = networks.shown(network)
    return {
        "Name": shown_name(network.name),
        "Driver": network.driver,
        "Scope": "local",
        "Internal": "true" if network.internal else "false",
        "CreatedAt": table.moment(network.created),
        **{name: shown[name] for name in ("name", "subnet", "gateway", "bridge")},
        "driver": network.driver + (" (internal)" if network.internal else ""),
        "containers": str(len(shown["containers"])),
    }


@verb("NETWORK …", Option(("format", "f"), "a template, as {{.Driver}}, or json", "TEMPLATE", ""), most=-1)
def inspect(call: VerbCall) -> int:
    """Show all that is known of networks, as a JSON list: definition, rules' chain, containers with their addresses;
    and beside it what the kernel has now: the bridge, its ports, their addresses, routes and neighbours.

    Examples:
      labkit network inspect labkit0
      labkit network inspect shop vault
      labkit network inspect -f '{{range .kernel.links}}{{.device}} {{end}}' labkit0
      labkit network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{end}}' shop

    docker's names come first, with a capital; labkit's own follow. Templates are as with 'labkit inspect'.
    """
    known = [networks.compared(definitions.find(name)) for name in call.arguments]
    return listing.inspected(call.options.format, [{**_dockers(shown), **shown} for shown in known])


def _dockers(shown: dict[str, Any]) -> dict[str, Any]:
    """docker's names for what engine.networks tells of a network; containers that do not run are not among docker's."""
    prefix = ipam.prefix_of(shown["subnet"])
    members = {
        id_: {"Name": member["name"], "IPv4Address": f"{member.get('address', '')}/{prefix}"}
        for id_, member in shown["containers"].items()
        if member["status"] in ("running", "paused")
    }
    addresses = {"Subnet": shown["subnet"], **({"Gateway": shown["gateway"]} if shown["gateway"] else {})}
    return {
        "Name": shown_name(shown["name"]),
        "Created": timestamps.rfc3339(shown["created"]),
        "Scope": "local",
        "Driver": shown["driver"],
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": Mapping(), "Config": [addresses]},
        "Internal": shown["internal"],
        "Containers": Mapping(members),
        "Options": Mapping(),
        "Labels": Mapping(),
    }


@verb(
    "",
    Option(("json",), "a JSON object a line"),
    Option(("count",), "end after so many events", "N", kind="int"),
    Option(("timeout",), "end after so many seconds", "SECONDS", kind="float"),
    least=0,
    most=0,
)
def watch(call: VerbCall) -> int:
    """Show links, addresses, routes and neighbours as they come (+), change (~) and go (-), in all network namespaces.

    It goes on until Ctrl-C: start and stop a container beside it. IPv4 only, as labkit's networks are.

    Examples:
      labkit network watch
      labkit network watch --timeout 30
      labkit network watch --count 1 --json             wait until something happens
      labkit network watch --json | while read -r line; do …; done

    The same is told by 'ip -timestamp monitor link address route neighbour', of one namespace at a time.
    """
    options = call.options
    for name, value in (("count", options.count), ("timeout", options.timeout)):
        if value is not None and not value > 0:
            raise UsageError(f"--{name} {value} would never begin", "a number above 0")
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    begun = Watch()
    print("watching; Ctrl-C ends it", file=sys.stderr)
    for number, event in enumerate(begun.events(sys.stdout.fileno(), options.timeout or 0), 1):
        print(_json(event) if options.json else _line(event, colours))
        sys.stdout.flush()  # whoever reads a pipe wants to know now
        if number == options.count:
            break
    return 0


def _json(event: Event) -> str:
    about = {"time": event.time, "what": event.what, "subject": event.fact.subject, "namespace": event.namespace}
    return json.dumps({**about, **asdict(event.fact)})


def _line(event: Event, colours: bool) -> str:
    sign, colour = _SIGNS[event.what]
    clock = f"{time.strftime('%H:%M:%S', time.localtime(event.time))}.{int(event.time % 1 * 1000):03}"
    where = f"   in {event.namespace}" if event.namespace else ""
    text = f"{sign} {event.fact.subject:<9} {event.fact}{where}"
    return f"{clock} {colour}{text}\033[0m" if colours else f"{clock} {text}"


@verb(
    "NETWORK CONTAINER",
    Option(("ip",), "its address there", "ADDRESS", ""),
    Option(("alias",), "another name there, may be repeated", "NAME", many=True),
    EXPLAIN,
    least=2,
    most=2,
)
def connect(call: VerbCall) -> int:
    """Join a container to a network: a running one at once (by another cable), another one at its next start.

    Examples:
      labkit network connect shop web
      labkit network connect --ip 10.90.0.9 --alias www shop web
      labkit network connect --explain shop web
    """
    network, name = call.arguments
    connecting.connect(record.find(name).id, network, call.options.ip, call.options.alias)
    return 0


@verb("NETWORK CONTAINER", EXPLAIN, least=2, most=2)
def disconnect(call: VerbCall) -> int:
    """Take a container out of a network, at once if it runs.

    Examples:
      labkit network disconnect shop web
      labkit network disconnect --explain shop web
    """
    network, name = call.arguments
    connecting.disconnect(record.find(name).id, network)
    return 0


@verb("NETWORK …", most=-1)
def rm(call: VerbCall) -> int:
    """Remove networks. One with a running container in it stays.

    Examples:
      labkit network rm shop
    """
    for network in [definitions.find(name) for name in call.arguments]:  # all names are looked up first
        definitions.remove(network.name)
        print(network.name)
    return 0


@verb("", Option(("force", "f"), "docker asks without it; labkit does not", hidden=True), least=0, most=0)
def prune(call: VerbCall) -> int:
    """Remove the networks that no container uses, running or not.

    Examples:
      labkit network prune
    """
    for name in networks.prune():
        print(name)
    return 0


@verb("", Option(("json",), "the commands as a JSON list"), least=0, most=0)
def repair(call: VerbCall) -> int:
    """Put back the rules of networks and published ports that a reload of the firewall took away.

    It says what was missing, as the commands that put it back. What is there is left alone.

    Examples:
      labkit network repair
      labkit network repair --json
    """
    commands = networks.repair()
    lines = ["was missing, and is put back:", *(f"  {command}" for command in commands)]
    return listing.told(call.options, commands, lines if commands else ["nothing is missing"])


COMMANDS = (create, ls, inspect, watch, connect, disconnect, rm, prune, repair)
