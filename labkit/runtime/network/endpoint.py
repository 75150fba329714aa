"""Sandbox and Endpoint: a container's side of a network, each with the operations that make it."""

from __future__ import annotations

from labkit.runtime.network import ipam, links
from labkit.runtime.network.model import Network
from labkit.runtime.operations import Operation
from labkit.runtime.std.dataclasses import dataclass


@dataclass(frozen=True)
class Sandbox:
    """A container's network namespace."""

    name: str

    @property
    def path(self) -> str:
        """The file that stands for the namespace: what the OCI specification takes."""
        return links.namespace_path(self.name)

    def operations(self) -> list[Operation]:
        """Make it, with its own loopback up."""
        return [links.AddNamespace(self.name), links.SetUp("lo", self.name)]


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
            links.AddVeth(self.host_link, self.device, inside, ipam.mac_of(self.address)),
            links.JoinBridge(self.host_link, network.bridge),
            links.SetHairpin(self.host_link),
            links.SetUp(self.host_link),
            links.AddAddress(self.device, inside, address=self.address, prefix=ipam.prefix_of(network.subnet)),
            links.SetUp(self.device, inside),
        ]
        if network.way_out and self.has_default_route:
            made.append(links.AddDefaultRoute(self.device, inside, gateway=network.way_out))
        return made
