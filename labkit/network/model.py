"""Sandbox, Endpoint, Network: the container network model, each with the operations that make it."""

from __future__ import annotations

import ipaddress

from labkit.network import bridge, ipam, portmap
from labkit.network.links import (
    AddAddress,
    AddDefaultRoute,
    AddNamespace,
    AddVeth,
    JoinBridge,
    SetUp,
    namespace_path,
)
from labkit.operations import Operation
from labkit.value import Value


class Network(Value):
    """Endpoints that reach one another: a bridge, and a subnet for their addresses."""

    name: str
    subnet: str

    @property
    def bridge(self) -> str:
        """The bridge's link."""
        return self.name

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return ipam.gateway(self.subnet)

    def operations(self) -> list[Operation]:
        """Bring it up."""
        return bridge.operations(self.bridge, self.subnet)


#: The network that containers join when nothing else is said.
DEFAULT = Network("labkit0", "10.77.0.0/16")


class Sandbox(Value):
    """A container's network namespace."""

    name: str

    @property
    def path(self) -> str:
        """The file that stands for the namespace: what the OCI specification takes."""
        return namespace_path(self.name)

    def operations(self) -> list[Operation]:
        """Make it, with its own loopback up."""
        return [AddNamespace(self.name), SetUp("lo", self.name)]


class Endpoint(Value):
    """A veth pair that joins a sandbox to a network: ``host_link`` is a port of the bridge, eth0 is in the sandbox."""

    network: Network
    sandbox: Sandbox
    host_link: str
    address: str

    def operations(self) -> list[Operation]:
        """Plug it in, give it its address and the way out."""
        prefix = ipaddress.IPv4Network(self.network.subnet).prefixlen
        inside = self.sandbox.name
        return [
            AddVeth(self.host_link, "eth0", inside),
            JoinBridge(self.host_link, self.network.bridge),
            SetUp(self.host_link),
            AddAddress("eth0", inside, address=self.address, prefix=prefix),
            SetUp("eth0", inside),
            AddDefaultRoute("eth0", inside, gateway=self.network.gateway),
        ]

    def publish(self, ports: list[portmap.PortMapping]) -> list[Operation]:
        """Lead ports of the host here."""
        return [portmap.rules(mapping, self.address) for mapping in ports]
