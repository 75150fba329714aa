"""``labkit packet-walk``: follow one connection through a published port, by the counters that it leaves.

It really connects, as a process of this machine or as a neighbour on the bridge would, and looks at the counters of
all rules before and after. Other traffic counts, too: on a busy machine rules may show that this one did not pass.
"""

from __future__ import annotations

import os
import time

from labkit.errors import ConflictError, UsageError
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.record import Container, running
from labkit.runtime.kernel import namespaces
from labkit.runtime.network import counters, ipam, reading, reservations
from labkit.runtime.network.conntrack import Entry
from labkit.runtime.network.endpoint import Endpoint, Sandbox
from labkit.runtime.network.iptables import saved
from labkit.runtime.network.model import Network, PortMapping
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.std.typing import Any

FROM = ("localhost", "host", "container", "hairpin")
_SECONDS = 3.0

# The order in which the kernel calls a packet's hooks, and at each the tables (linux/netfilter_ipv4.h, priorities).
_LEAVING = {"POSTROUTING": ("mangle", "nat")}
_SENT_HERE = {"OUTPUT": ("raw", "mangle", "nat", "filter"), **_LEAVING}
_FORWARDED = {"PREROUTING": ("raw", "mangle", "nat"), "FORWARD": ("mangle", "filter"), **_LEAVING}


def walk(container: Container, start: str, port: int = 0) -> dict[str, Any]:
    """One connection to the published ``port`` (0: the first), from one of ``FROM``; what it met, in its order.

    It is plain but for ``outside`` and ``inside``: what the kernel has for its way, out here and in there (reading.py).

    ConflictError where the container does not run, publishes no such port, or that is not reached from there.
    """
    if start not in FROM:
        raise UsageError(f"'{start}' is no place to start from", f"one of {', '.join(FROM)}")
    running(container)
    mapping = _mapping(container, port)
    name = next(iter(container.endpoints))
    endpoint = networking.endpoint(container, name)
    address = _address(mapping, start, endpoint.network)
    inside = reading.picture(endpoint.sandbox.path)
    program = reservations.program(name)
    with _place(start, endpoint) as namespace:
        before = counters.read(saved(program, counters=True))
        source, error, entry = _connect(mapping.protocol, address, mapping.host_port, namespace)
        after = counters.read(saved(program, counters=True))
    target = f"{endpoint.address}:{mapping.container_port}"
    hooks = _SENT_HERE if start in ("localhost", "host") else _FORWARDED
    return {
        "container": container.name,
        "from": start,
        "port": asdict(mapping),
        "connected": not error,
        "error": error,
        "source": source,
        "destination": f"{address}:{mapping.host_port}",
        "steps": _steps(hooks, before, after, source, f"{address}:{mapping.host_port}", target, entry),
        "conntrack": asdict(entry) if entry else None,
        "outside": _outside(endpoint),
        "inside": inside,
        "bridge": endpoint.network.bridge,
        "bridge_port": endpoint.host_link,
        "device": endpoint.device,
        "network_namespace": endpoint.sandbox.path,
        "address": target,
    }


def _mapping(container: Container, port: int) -> PortMapping:
    if not container.ports:
        raise ConflictError(
            f"the container {container.name} publishes no port, so there is no way through one",
            "run it with -p, as -p 8080:80",
        )
    for mapping in container.ports:
        if port in (0, mapping.host_port):
            return mapping
    raise ConflictError(
        f"the container {container.name} does not publish port {port}",
        f"it publishes {', '.join(map(str, container.ports))}",
    )


def _address(mapping: PortMapping, start: str, network: Network) -> str:
    """Which of this machine's addresses to call."""
    wanted = mapping.host_address
    is_loopback = wanted.startswith("127.")
    if wanted and is_loopback != (start == "localhost"):
        raise ConflictError(
            f"port {mapping.host_port} is published at {wanted} only, which is not reached from '{start}'",
            "try --from localhost" if is_loopback else "try --from host",
        )
    if wanted:
        return wanted
    if start == "localhost":
        return "127.0.0.1"
    # The address by which this machine goes out (to one for documentation, RFC 5737); the bridge's where it does not.
    return (start == "host" and reading.source_for("192.0.2.1")) or network.gateway


def _outside(endpoint: Endpoint) -> list[reading.Fact]:
    """The bridge and its port; of the neighbours only this one."""
    ours = (endpoint.network.bridge, endpoint.host_link)
    found = [fact for fact in reading.picture() if fact.device in ours]
    return [fact for fact in found if not isinstance(fact, reading.Neighbour) or fact.address == endpoint.address]


@contextmanager
def _place(start: str, endpoint: Endpoint) -> Iterator[str]:
    """The network namespace to connect from; empty for our own. A neighbour is made for the purpose, and goes."""
    if start == "hairpin":
        yield endpoint.sandbox.path
    elif start == "container":
        with _neighbour(endpoint.network) as path:
            yield path
    else:
        yield ""


@contextmanager
def _neighbour(network: Network) -> Iterator[str]:
    """A sandbox with an endpoint and without a process. It has a lease and a journal, so that gc knows it."""
    own = os.urandom(32).hex()
    taken = lease.take_new(own)
    journal = record.run_journal(own)
    sandbox = Sandbox(f"labkit-{own[:12]}")
    try:
        address, _ = reservations.join(network, own, [], journal.run_sections)
        journal.run([*sandbox.operations(), *Endpoint(network, sandbox, f"veth{own[:7]}", address).operations()])
        yield sandbox.path
    finally:
        record.undo_run(own)
        taken.release()


def _connect(protocol: str, address: str, port: int, namespace: str) -> tuple[str, str, Entry | None]:
    """Our end's address, what went wrong (or nothing), and what the kernel noted while the connection stood."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with namespaces.entered(namespace) if namespace else suppress():
        wire = socket.socket(ipam.FAMILY, kind)  # it stays in the namespace in which it was made
    with wire:
        wire.settimeout(_SECONDS)
        error = ""
        try:
            wire.connect((address, port))
            if protocol == "udp":
                wire.send(b"\n")
        except OSError as failure:
            error = failure.strerror or "no answer"
        time.sleep(0.05)  # the last acknowledgement is on its way
        host, number = wire.getsockname()
        source = f"{host}:{number}"
        return source, error, reading.connection(protocol, source, f"{address}:{port}")


def _steps(
    hooks: dict[str, tuple[str, ...]],
    before: counters.Counters,
    after: counters.Counters,
    source: str,
    destination: str,
    target: str,
    entry: Entry | None,
) -> list[dict[str, Any]]:
    """Each table at each hook, the rules that counted, and the packet's addresses behind it."""
    made = []
    for hook, table in [(hook, table) for hook, tables in hooks.items() for table in tables]:
        if table not in counters.tables(after):
            continue
        rules = counters.passed(before, after, table, hook)
        if table == "nat" and hook != "POSTROUTING":
            destination = entry.reply_source if entry else target
        elif table == "nat":
            source = entry.reply_destination if entry else source
        made.append(
            {
                "hook": hook,
                "table": table,
                "rules": [asdict(rule) for rule in rules],
                "source": source,
                "destination": destination,
            }
        )
    return made
