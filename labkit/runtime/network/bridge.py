"""What a network is made of: a bridge with the gateway's address, forwarding, and the chains that rules go into.

Each network has chains of its own (``LABKIT…`` for labkit0, ``LABKIT-1f2e3d4c…`` for another), so that it comes and
goes whole, and no other program's rules are touched.
"""

from __future__ import annotations

from labkit.runtime.network import ipam, links
from labkit.runtime.network.iptables import AddRules
from labkit.runtime.network.model import Network
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import WriteSetting
from labkit.runtime.text import textfile

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
#: All bridges of ours, as iptables(8) writes "begins with".
_OURS = "labkit+"
#: And docker's: its own, and one for each network that its users made.
_DOCKERS = ("docker+", "br-+")


def operations(network: Network, program: str = "iptables") -> list[Operation]:
    """Bring the network up. ``route_localnet`` lets packets for 127.0.0.1 leave through the bridge after DNAT.

    Without it the kernel drops them as martians (Documentation/networking/ip-sysctl.rst, since 3.6), which is why
    docker starts a proxy process for each published port.
    """
    name = network.bridge
    if network.driver == "vlan":
        return vlan_operations(network)
    made: list[Operation] = [
        links.AddBridge(name, ipam.mac_of(network.gateway)),
        links.AddAddress(name, address=network.gateway, prefix=ipam.prefix_of(network.subnet)),
        links.SetUp(name),
    ]
    if not network.internal:
        made.append(WriteSetting(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "1", "0"))
        before = textfile.read(_FORWARDING).strip()
        if before != "1":
            made.append(WriteSetting(_FORWARDING, "1", before))
    made.append(rules(network, program))
    return made


def vlan_operations(network: Network) -> list[Operation]:
    """A bridge with an 802.1Q sub-interface of the parent as one of its ports.

    A bridge, and not macvlan: the cables of containers are then the same as in every network, and this machine's
    own programs can be given a place in the VLAN. The bridge has no address, and there are no rules: the VLAN's own
    router is the gateway, and who is in the VLAN reaches the containers by their addresses.
    """
    made: list[Operation] = [links.AddBridge(network.bridge), links.SetUp(network.bridge)]
    if network.adds_link:
        made.append(links.AddVlan(network.vlan_link, network.parent, network.vlan))
    return [*made, links.JoinBridge(network.vlan_link, network.bridge), links.SetUp(network.vlan_link)]


def rules(network: Network, program: str = "iptables") -> AddRules:
    """The rules that every container of the network shares.

    nat:

    * Packets for a local address go through our nat chain, those of this machine's own processes, too (OUTPUT).
    * What comes from the bridge itself returns from that chain: containers reach one another without it.
    * A container that calls a *published* port at one of this machine's addresses (hairpin, when it is its own) comes
      back from there untranslated, and the hairpin chain is next. docker leaves the RETURN out for this; we keep it,
      and what it says stays true of that chain. Its answer must come back this way, too, and not go directly from
      container to container, which did not ask that address: so it is masqueraded.
    * What leaves to elsewhere is masqueraded, and so is what this machine itself sends into the bridge: a packet from
      127.0.0.1 could not be answered.

    raw: with route_localnet a container could send to our 127.0.0.1, where services listen that think themselves
    alone.

    filter: by then packets have their new destination, so in OUTPUT our chain of published ports takes them by the
    subnet, not by the device: a packet that was sent to 127.0.0.1 still counts as one that leaves through lo. For
    what is forwarded see ``_forward``. The jump to it comes first, since docker's policy of FORWARD is DROP, and other
    firewalls end that chain with a REJECT.
    """
    name, chain, subnet = network.bridge, network.chain, network.subnet
    if network.internal:
        return AddRules(
            chains=(f"filter {chain}-FORWARD",),
            first=(f"filter FORWARD -j {chain}-FORWARD", f"nat PREROUTING -i {name} -j ACCEPT"),
            rules=tuple(f"filter {chain}-FORWARD {rule}" for rule in _forward_internal(name)),
            program=program,
        )
    return AddRules(
        chains=(f"nat {chain}", f"nat {chain}-HAIRPIN", f"filter {chain}", f"filter {chain}-FORWARD"),
        first=(f"filter FORWARD -j {chain}-FORWARD",),
        rules=(
            f"raw PREROUTING -d 127.0.0.0/8 -i {name} -j DROP",
            f"nat PREROUTING -m addrtype --dst-type LOCAL -j {chain}",
            f"nat PREROUTING -i {name} -m addrtype --dst-type LOCAL -j {chain}-HAIRPIN",
            f"nat OUTPUT -m addrtype --dst-type LOCAL -j {chain}",
            f"nat {chain} -i {name} -j RETURN",
            f"nat POSTROUTING -s {subnet} ! -o {name} -j MASQUERADE",
            f"nat POSTROUTING -o {name} -m addrtype --src-type LOCAL -j MASQUERADE",
            f"nat POSTROUTING -s {subnet} -o {name} -m conntrack --ctstate DNAT -j MASQUERADE",
            f"filter OUTPUT -d {subnet} -j {chain}",
            *(f"filter {chain}-FORWARD {rule}" for rule in _forward(name, chain)),
        ),
        program=program,
    )


def _forward(name: str, chain: str) -> list[str]:
    """Who may send through: answers; containers of this network to one another; others only to published ports.

    docker's two stages: leaving is decided by the sender's network, entering by the receiver's. So the sender's
    accepts only what goes to no network of ours, and a packet for one meets that one's own chain. From another network
    only what was translated enters: a published port at a host's address, not the same port at the container's. What
    goes to one of docker's networks is for docker's rules to decide, which come behind ours.
    """
    return [
        f"-o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-i {name} -o {name} -j ACCEPT",
        f"-i {_OURS} -o {name} -m conntrack ! --ctstate DNAT -j DROP",
        f"-o {name} -j {chain}",
        f"-o {name} -j DROP",
        *(f"-i {name} -o {bridge} -j RETURN" for bridge in _DOCKERS),
        f"-i {name} ! -o {_OURS} -j ACCEPT",
    ]


def _forward_internal(name: str) -> list[str]:
    """Within, and nowhere else. (And nothing from it is translated to another network's published port.)"""
    return [f"-i {name} -o {name} -j ACCEPT", f"-i {name} -j DROP", f"-o {name} -j DROP"]
