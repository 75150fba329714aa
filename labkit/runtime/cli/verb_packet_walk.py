"""Follow one connection through a published port: each rule that it passes, and its addresses on the way.

It makes a real connection, from this machine to 127.0.0.1 (localhost) or to its own address (host), from a neighbour
on the container's network (container), or from the container to itself (hairpin), and reads the rules' counters.

Examples:
  labkit packet-walk redis
  labkit packet-walk redis --from hairpin
  labkit packet-walk web --port 8080 --from container --json
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.record import record
from labkit.runtime.engine.show import packetwalk
from labkit.runtime.network import reading
from labkit.runtime.network.model import PortMapping
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any

COMMAND = Command(
    "CONTAINER",
    (
        Option(("from",), f"{', '.join(packetwalk.FROM)} (localhost by default)", "PLACE", "localhost"),
        Option(("port",), "the published port, where there are several", "PORT", 0),
        Option(("json",), "as JSON"),
    ),
)
_STARTS = {
    "localhost": "a process of this machine calls 127.0.0.1",
    "host": "a process of this machine calls its own address",
    "container": "a neighbour on the bridge calls this machine",
    "hairpin": "the container calls its own published port",
}


def main(call: VerbCall) -> int:
    """Walk, and show it."""
    start = getattr(call.options, "from")
    found = packetwalk.walk(record.find(call.arguments[0]), start, call.options.port)
    if call.options.json:
        print(
            json.dumps({**found, **{place: reading.plain(found[place]) for place in ("outside", "inside")}}, indent=2)
        )
    else:
        print("\n".join(lines(found)))
    return 0


def lines(found: dict[str, Any]) -> list[str]:
    """The walk for people."""
    result = "connected" if found["connected"] else f"not connected: {found['error']}"
    made = [f"{found['container']}, {PortMapping(**found['port'])}, from {found['from']}: {result}", ""]
    source, destination = found["source"], found["destination"]
    made += [f"{source} → {destination}   {_STARTS[found['from']]}", ""]
    for step in found["steps"]:
        made.append(f"{step['hook']}, table {step['table']}" + ("" if step["rules"] else ": no rule takes it"))
        made += [_rule(rule) for rule in step["rules"]]
        if step["destination"] != destination:
            made.append(f"  {step['source']} → {step['destination']}   the destination is another one now (DNAT)")
        if step["source"] != source:
            made.append(f"  {step['source']} → {step['destination']}   the source is another one now (MASQUERADE)")
        source, destination = step["source"], step["destination"]
    made += [
        "",
        f"bridge {found['bridge']} → its port {found['bridge_port']} → the cable → {found['device']} in"
        f" {found['network_namespace']}",
        f"{source} → {destination}   what the container sees",
    ]
    for place, words in (("outside", "out here"), ("inside", "in there")):
        made += ["", f"What the kernel has for it, {words}:", *(f"  {line}" for line in reading.lines(found[place]))]
    entry = found["conntrack"]
    if entry:
        back = f"{entry['reply_source']} → {entry['reply_destination']}"
        made += ["", "The kernel's note of it (conntrack) turns the addresses of answers back:"]
        made.append(f"  {back}   becomes   {entry['destination']} → {entry['source']}")
    else:
        made += ["", "The kernel shows no note of it (conntrack), so that a translated source is not known here."]
    return made


def _rule(rule: dict[str, Any]) -> str:
    """``packets before → after``, and the rule, further in where a chain of ours has it."""
    where = f"{rule['chain']}: " if rule["depth"] else ""
    return f"{rule['before']:>8} → {rule['after']:<6} {'  ' * rule['depth']}{where}{rule['rule']}"
