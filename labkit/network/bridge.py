"""What a bridge network is made of: a bridge with the gateway's address, forwarding, and the chains that rules go
into.
"""

from __future__ import annotations

import ipaddress

from labkit import textfile
from labkit.network import ipam
from labkit.network.iptables import AddRules
from labkit.network.links import AddAddress, AddBridge, SetUp
from labkit.operations import Operation
from labkit.operations.files import WriteSetting

#: Our chain, in the tables nat and filter.
CHAIN = "LABKIT"
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def operations(name: str, subnet: str) -> list[Operation]:
    """Bring the network up. ``route_localnet`` lets packets for 127.0.0.1 leave through the bridge after DNAT.

    Without it the kernel drops them as martians (Documentation/networking/ip-sysctl.rst, since 3.6), which is why
    docker starts a proxy process for each published port.
    """
    made: list[Operation] = [
        AddBridge(name),
        AddAddress(name, address=ipam.gateway(subnet), prefix=ipaddress.IPv4Network(subnet).prefixlen),
        SetUp(name),
        WriteSetting(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "1", "0"),
    ]
    before = textfile.read(_FORWARDING).strip()
    if before != "1":
        made.append(WriteSetting(_FORWARDING, "1", before))
    made.append(rules(name, subnet))
    return made


def rules(name: str, subnet: str) -> AddRules:
    """The rules that every container of the network shares.

    * With route_localnet a container could send to our 127.0.0.1, where services listen that think themselves alone.
    * Packets for a local address go through our nat chain, those of this machine's own processes, too (OUTPUT).
    * What comes from the bridge itself returns from that chain: containers reach one another without it.
    * By then they have their new destination, so our filter chain takes them by the subnet, not by the device: in
      OUTPUT a packet that was sent to 127.0.0.1 still counts as one that leaves through lo.
    * What leaves to elsewhere is masqueraded, and so is what this machine itself sends into the bridge: a packet from
      127.0.0.1 could not be answered.
    """
    return AddRules(
        chains=(f"nat {CHAIN}", f"filter {CHAIN}"),
        rules=(
            f"raw PREROUTING -i {name} -d 127.0.0.0/8 -j DROP",
            f"nat PREROUTING -m addrtype --dst-type LOCAL -j {CHAIN}",
            f"nat OUTPUT -m addrtype --dst-type LOCAL -j {CHAIN}",
            f"nat {CHAIN} -i {name} -j RETURN",
            f"nat POSTROUTING -s {subnet} ! -o {name} -j MASQUERADE",
            f"nat POSTROUTING -o {name} -m addrtype --src-type LOCAL -j MASQUERADE",
            f"filter FORWARD -d {subnet} -j {CHAIN}",
            f"filter OUTPUT -d {subnet} -j {CHAIN}",
            f"filter FORWARD -i {name} -j ACCEPT",
            f"filter FORWARD -o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
    )
