"""All networks with their containers; removing those that nobody uses; repairing what a firewall took away; and what is
there of labkit's that nobody is responsible for.
"""

from __future__ import annotations

from labkit.errors import ConflictError
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.network import bridge, definitions, netlink, reading, reservations
from labkit.runtime.network.conntrack import ForgetUnanswered
from labkit.runtime.network.iptables import AddRules, canonical, choose, saved
from labkit.runtime.network.links import NETNS_DIRECTORY
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


def leftovers() -> dict[str, bool]:
    """What the network of this machine has of labkit's: ``link veth0123456``, ``network namespace …``, ``rule nat …``;
    and whether it is a living container's or, as a bridge is, a network's with one. MissingToolError without pyroute2.

    The kernel is asked, and labkit's things are known by their names: no journal is read, so that what none tells of
    is found, too.
    """
    links = [link for link in reading.picture() if isinstance(link, reading.Link)]
    links = [link for link in links if link.device.startswith("labkit") or link.bridge.startswith("labkit")]
    spaces = [name for name in textfile.names(NETNS_DIRECTORY) if name.startswith("labkit-")]
    rules = [rule for rule in canonical(saved(choose())) if "labkit" in rule.lower()]
    # Their owners afterwards: who is just starting is found by then.
    alive = {container for container in lease.everything() if lease.is_held(container)}
    known = {f"veth{container[:7]}" for container in alive} | {f"labkit-{container[:12]}" for container in alive}
    owners: dict[str, bool] = {}
    for network in definitions.everything():
        with reservations.locked(network.name):
            addresses = {address: owner in alive for address, owner in reservations.addresses(network.name).items()}
        owners.update(addresses)
        if any(addresses.values()):
            known |= {network.bridge, *(network.chain + part for part in ("", "-HAIRPIN", "-FORWARD"))}
    return {
        **{f"link {link.device}": not known.isdisjoint((link.device, link.device[:11])) for link in links},
        **{f"network namespace {name}": name in known for name in spaces},
        **{f"rule {rule}": _is_someones(rule, owners, known) for rule in rules},
    }


def _is_someones(rule: str, owners: dict[str, bool], known: set[str]) -> bool:
    """One that names an address is its owner's, any other its network's."""
    words = rule.replace("/32", " ").replace(":", " ").split()
    return next((owners[word] for word in words if word in owners), not known.isdisjoint(words))
