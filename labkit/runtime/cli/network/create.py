"""Make a network. Its bridge comes with the first container and goes with the last.

Containers of a network reach one another, by their names, too; those of other networks reach only published ports.
--internal: no way out, and none in. The driver vlan puts containers into a VLAN (802.1Q) of a device of this machine.

Examples:
  labkit network create shop
  labkit network create --subnet 10.90.0.0/24 --gateway 10.90.0.1 shop
  labkit network create --internal vault
  labkit network create --driver vlan --parent eth0 --vlan-id 10 --subnet 192.168.10.0/24 floor
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.network import definitions

COMMAND = Command(
    "NETWORK",
    (
        Option(("driver", "d"), "bridge (the default) or vlan", "DRIVER", "bridge"),
        Option(("subnet",), "its addresses, as 10.90.0.0/24 (a free one by default)", "SUBNET", ""),
        Option(("gateway",), "the bridge's own address (the first by default); a VLAN's router", "ADDRESS", ""),
        Option(("internal",), "without a way out"),
        Option(("parent",), "the device whose VLAN it is", "DEVICE", ""),
        Option(("vlan-id",), "the VLAN's number, 1 to 4094", "NUMBER", kind="int"),
    ),
)


def main(call: VerbCall) -> int:
    """Make it, and print its name."""
    wanted = call.options
    network = definitions.create(
        call.arguments[0],
        wanted.driver,
        wanted.subnet,
        wanted.gateway,
        wanted.internal,
        wanted.parent,
        wanted.vlan_id,
    )
    print(network.name)
    return 0
