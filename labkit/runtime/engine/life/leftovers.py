"""What the network of this machine has of labkit's, and whether anybody is responsible for it: shown by labkit gc."""

from __future__ import annotations

from labkit.runtime.engine.record import lease
from labkit.runtime.network import definitions, reading, reservations
from labkit.runtime.network.iptables import canonical, choose, saved
from labkit.runtime.network.links import NETNS_DIRECTORY
from labkit.runtime.text import textfile


def everything() -> dict[str, bool]:
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
