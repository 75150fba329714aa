"""Sandbox, Endpoint, Network: the container network model, each with the operations that make it."""

from __future__ import annotations

from labkit.runtime.network import bridge, ipam, portmap
from labkit.runtime.network.links import (
    AddAddress,
    AddDefaultRoute,
    AddNamespace,
    AddVeth,
    JoinBridge,
    SetHairpin,
    SetUp,
    namespace_path,
)
from labkit.runtime.operations import Operation
from labkit.runtime.std.dataclasses import dataclass


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

    def operations(self, program: str = "iptables") -> list[Operation]:
        """Bring it up; ``program`` adds its rules."""
        return bridge.operations(self, program)


#: The network that containers join when nothing else is said.
DEFAULT = Network("labkit0", "10.77.0.0/16", gateway="10.77.0.1")


@dataclass(frozen=True)
class Sandbox:
    """A container's network namespace."""

    name: str

    @property
    def path(self) -> str:
        """The file that stands for the namespace: what the OCI specification takes."""
        return namespace_path(self.name)

    def operations(self) -> list[Operation]:
        """Make it, with its own loopback up."""
        return [AddNamespace(self.name), SetUp("lo", self.name)]


@dataclass(frozen=True)
class Endpoint:
    """A veth pair that joins a sandbox to a network: ``host_link`` is a port of the bridge, ``device`` in the
    sandbox.
    """

    network: Network
    sandbox: Sandbox
    host_link: str
    address: str
    device: str = "eth0"
    has_default_route: bool = True
    """Of several endpoints the first one has it."""

    def operations(self) -> list[Operation]:
        """Plug it in, give it its address and the way out."""
        inside, network = self.sandbox.name, self.network
        made: list[Operation] = [
            AddVeth(self.host_link, self.device, inside, ipam.mac_of(self.address)),
            JoinBridge(self.host_link, network.bridge),
            SetHairpin(self.host_link),
            SetUp(self.host_link),
            AddAddress(self.device, inside, address=self.address, prefix=ipam.prefix_of(network.subnet)),
            SetUp(self.device, inside),
        ]
        if network.way_out and self.has_default_route:
            made.append(AddDefaultRoute(self.device, inside, gateway=network.way_out))
        return made

    def publish(self, ports: list[portmap.PortMapping], program: str = "iptables") -> list[Operation]:
        """Lead ports of the host here, all by one operation."""
        return [portmap.rules(ports, self.address, self.network, program)] if ports else []
