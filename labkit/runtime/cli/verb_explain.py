"""What labkit and the kernel know of a container, and of a packet's way to it, in words. Each function is a verb, and
its docstring the verb's help.
"""

from __future__ import annotations

from labkit.runtime.cli import listing
from labkit.runtime.cli.flags import JSON, Option, VerbCall, verb
from labkit.runtime.engine.record import record
from labkit.runtime.engine.show import explanation, packetwalk
from labkit.runtime.network import reading
from labkit.runtime.network.model import PortMapping
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.typing import Any

_WHEN = {
    "create": "What outlives its runs (labkit create; taken back by labkit rm)",
    "start": "What this run consists of (labkit start; taken back at its end)",
}


@verb("CONTAINER", JSON)
def explain(call: VerbCall) -> int:
    """Show what a container was made by, command for command, and what the kernel says of it now.

    Examples:
      labkit explain redis
      labkit explain --json redis

    Every line of the first part can be typed into a shell as it stands; 'host' was done out here, 'init' by the
    container's first process in its new namespaces. The second part is read from the kernel at this moment; each
    heading names a command that shows the same.
    """
    found = explanation.explain(record.find(call.arguments[0]))
    if call.options.json:
        if "network" in found:
            found["network"].update({place: reading.plain(found["network"][place]) for place in ("inside", "outside")})
        print(json.dumps(found, indent=1))
    else:
        head, *rest = _text(found)
        print(f"{head}\nID={found['id']}")
        print("\n".join(rest).replace(found["id"], "$ID"))
    return 0


def _text(found: dict[str, Any]) -> Iterator[str]:
    runs = f", process {found['pid']} out here" if found["pid"] else ""
    yield f"# {found['name']} is {found['status']}{runs}"
    for when, title in _WHEN.items():
        rows = [row for row in found["operations"] if row["when"] == when]
        if rows:
            yield f"\n# {title}"
        for row in rows:
            yield from _command(row["who"], row["command"])
    if "process" not in found:
        yield "\n# It does not run: nothing of a run is there, and the kernel knows nothing of it."
        return
    for heading, lines in _sections(found):
        if lines:
            yield f"\n# {heading}"
            yield from (f"  {line}" for line in lines)


def _command(who: str, command: str) -> Iterator[str]:
    first, *rest = command.splitlines()
    yield f"{who:<4}  {first}"
    yield from (f"      {line}" for line in rest)


def _sections(found: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    pid, process = found["pid"], found["process"]
    numbers = " = ".join(map(str, process["pids"]))
    rights = process["capabilities"]
    yield (
        f"Its first process (cat /proc/{pid}/status)",
        [
            f"its number, from the outside in: {numbers}",
            f"user {process['uid']}, group {process['gid']}",
            *[f"{name}: {_list(names)}" for name, names in rights.items() if names or name == "CapEff"],
            f"no_new_privs: {'yes' if process['no_new_privileges'] else 'no'}, seccomp: {process['seccomp']}",
        ],
    )
    yield f"Its namespaces (ls -l /proc/{pid}/ns)", [_namespace(row) for row in found.get("namespaces", [])]
    yield "Its control group (cat FILE)", [f"{row['file']} = {row['value']}" for row in found.get("cgroup", [])]
    root = found.get("root", {})
    yield f"Its root file system (grep {root.get('target', '')} /proc/self/mountinfo)", _root(root)
    network = found.get("network", {})
    yield f"Its network inside (nsenter --target {pid} --net ip address)", reading.lines(network.get("inside", []))
    yield "Our end of its cable (ip link)", reading.lines(network.get("outside", []))
    yield "Rules that name its address, [packets:bytes] (iptables-save -c)", found.get("rules", [])


def _list(names: list[str]) -> str:
    return ", ".join(name[4:].lower() for name in names) or "none"


def _namespace(row: dict[str, Any]) -> str:
    words = f"its own; the host's is {row['host']}" if row["own"] else "the host's"
    return f"{row['kind']:<7} {row['inode']}  {words}"


def _root(root: dict[str, Any]) -> list[str]:
    lines = [f"{root['kind']} on {root['target']}"] if root.get("kind") else []
    lines += [f"lower {directory}" for directory in root.get("lower", [])]
    return lines + [f"{name} {root[name]}" for name in ("upper", "work") if root.get(name)]


_STARTS = {
    "localhost": "a process of this machine calls 127.0.0.1",
    "host": "a process of this machine calls its own address",
    "container": "a neighbour on the bridge calls this machine",
    "hairpin": "the container calls its own published port",
}


@verb(
    "CONTAINER",
    Option(("from",), f"{', '.join(packetwalk.FROM)} (localhost by default)", "PLACE", "localhost"),
    Option(("port",), "the published port, where there are several", "PORT", 0),
    JSON,
)
def packet_walk(call: VerbCall) -> int:
    """Follow one connection through a published port: each rule that it passes, and its addresses on the way.

    It makes a real connection, from this machine to 127.0.0.1 (localhost) or to its own address (host), from a
    neighbour on the container's network (container), or from the container to itself (hairpin), and reads the rules'
    counters.

    Examples:
      labkit packet-walk redis
      labkit packet-walk redis --from hairpin
      labkit packet-walk web --port 8080 --from container --json
    """
    start = getattr(call.options, "from")
    found = packetwalk.walk(record.find(call.arguments[0]), start, call.options.port)
    plain = {**found, **{place: reading.plain(found[place]) for place in ("outside", "inside")}}
    return listing.told(call.options, plain, lines(found))


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
