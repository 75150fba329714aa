"""All networks with their containers; removing those that nobody uses; repairing what a firewall took away."""

from __future__ import annotations

from labkit.errors import ConflictError
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.network import bridge, definitions, netlink, reading, reservations
from labkit.runtime.network.conntrack import ForgetUnanswered
from labkit.runtime.network.iptables import AddRules, saved
from labkit.runtime.network.model import DEFAULT, Network
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import WriteSetting
from labkit.runtime.operations.journal import perform
from labkit.runtime.std.dataclasses import asdict, replace
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile


def shown(network: Network) -> dict[str, Any]:
    """A network for programs that read: its definition, whether it is up, and its containers by their ids."""
    members = {
        container.id: {
            "name": container.name,
            "status": container.state().status,
            **_place(container, network.name),
        }
        for container in _members(network.name)
    }
    up = reservations.is_up(network.name)
    return {
        **asdict(network),
        "chain": "" if network.driver == "vlan" else network.chain,
        "up": up,
        "iptables": reservations.program(network.name) if up else "",
        "containers": members,
    }


def compared(network: Network) -> dict[str, Any]:
    """``shown``, and beside it what the kernel has of the bridge and its ports."""
    there, bridge = reading.picture(), network.bridge
    names = [fact.device for fact in there if isinstance(fact, reading.Link) and bridge in (fact.device, fact.bridge)]
    return {**shown(network), "kernel": reading.plain([fact for fact in there if fact.device in names])}


def _members(name: str) -> list[Container]:
    """Those that are in the network now or at their next start."""
    return [container for container in record.everything() if name in networking.wishes(container)]


def _place(container: Container, network: str) -> dict[str, Any]:
    """What it has there, if it runs; what it wishes, otherwise."""
    if container.state().lives and network in container.endpoints:
        return dict(container.endpoints[network])
    return dict(networking.wishes(container)[network])


def prune() -> list[str]:
    """Remove the networks in which no container is, running or not; their names."""
    removed = []
    for network in definitions.everything():
        if network is not DEFAULT and not _members(network.name):
            definitions.remove(network.name)
            removed.append(network.name)
    return removed


def repair() -> list[str]:
    """Put back what is missing of all networks that are up, and of the published ports of all running containers.

    Returns the commands that it came to. What is there is left alone, so that a repair of what is whole does nothing.
    ConflictError where a bridge itself is gone: its containers have to be started again.
    """
    commands: list[str] = []
    for network in definitions.everything():
        with reservations.locked(network.name):
            if reservations.is_up(network.name):
                commands += _repair_network(network)
    for container in record.everything():
        if container.ports and container.endpoints and container.state().lives:
            commands += _repair_ports(container)
    return commands


def _repair_network(network: Network) -> list[str]:
    if not netlink.index(network.bridge):
        raise ConflictError(
            f"the bridge {network.bridge} of the network {network.name} is gone",
            "stop its containers and start them again",
        )
    done: list[str] = []
    for operation in bridge.operations(network, reservations.program(network.name)):
        if isinstance(operation, WriteSetting) and textfile.read(operation.path).strip() != operation.value:
            done += _do(operation)
        if isinstance(operation, AddRules):
            done += _add_missing(operation)
    return done + (_do(ForgetUnanswered(network.subnet)) if done else [])


def _repair_ports(container: Container) -> list[str]:
    (rules,) = networking.publishing(container)
    assert isinstance(rules, AddRules)
    done = _add_missing(rules)
    if done and not record.run_journal(container.id).lines():
        rules.undo()  # it has just ended, and its shim did not find these rules
        return []
    for operation in networking.forgetting(container) if done else []:
        done += _do(operation)
    return done


def _add_missing(rules: AddRules) -> list[str]:
    missing = replace(rules.missing(saved(rules.program)), is_new=True)
    return _do(missing) if missing.describe() else []


def _do(operation: Operation) -> list[str]:
    perform(operation, "host")
    return operation.describe().splitlines()
