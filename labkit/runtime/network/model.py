"""What a network and a published port are, as data: records hold it, and everybody passes it on as it is.

Who makes something of it imports this module, and it imports none of them.
"""

from __future__ import annotations

from labkit.runtime.std.dataclasses import dataclass

#: How one writes "any address".
ANY = "0.0.0.0"  # noqa: S104 - it is not bound to


@dataclass(frozen=True)
class Network:
    """Endpoints that reach one another: a bridge, and a subnet for their addresses."""

    name: str
    subnet: str
    bridge: str = "labkit0"
    """The bridge's link, at most 15 letters, that begins with ``labkit``."""
    driver: str = "bridge"
    """``bridge`` or ``vlan``."""
    gateway: str = ""
    """The bridge's own address; in a VLAN its router's, or empty."""
    internal: bool = False
    """There is no way out, and none in."""
    parent: str = ""
    """The device whose VLAN it is."""
    vlan: int = 0
    adds_link: bool = True
    """Whether the VLAN's sub-interface is ours; somebody may have made it before."""
    created: float = 0.0

    @property
    def vlan_link(self) -> str:
        """The sub-interface; a link's name has at most 15 letters (IFNAMSIZ)."""
        return f"{self.parent[: 14 - len(str(self.vlan))]}.{self.vlan}"

    @property
    def chain(self) -> str:
        """The name of its chain, at most 28 letters with what follows it."""
        return "LABKIT" if self.name == "labkit0" else f"LABKIT-{self.bridge[7:]}"

    @property
    def way_out(self) -> str:
        """Where its containers send what is for others; empty where they cannot."""
        return "" if self.internal else self.gateway


#: The network that containers join when nothing else is said.
DEFAULT = Network("labkit0", "10.77.0.0/16", gateway="10.77.0.1")


@dataclass(frozen=True)
class PortMapping:
    """One port of the host that leads to one of a container; ``host_address`` empty means any of the host's.

    ``host_port`` 0 is one that is yet to be chosen.
    """

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_address: str = ""

    @property
    def outside(self) -> str:
        """``ADDRESS:PORT`` of the host."""
        return f"{self.host_address or ANY}:{self.host_port}"

    @property
    def inside(self) -> str:
        """``PORT/PROTOCOL`` of the container."""
        return f"{self.container_port}/{self.protocol}"

    def __str__(self) -> str:
        """As ``docker ps`` shows it."""
        return f"{self.outside}->{self.inside}"
