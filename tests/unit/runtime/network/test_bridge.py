from __future__ import annotations

from labkit.runtime.network import bridge
from labkit.runtime.network.endpoint import Endpoint, Sandbox
from labkit.runtime.network.model import DEFAULT, Network
from labkit.runtime.std.dataclasses import replace


def test_an_endpoint_is_a_cable_from_the_bridge_into_the_sandbox() -> None:
    endpoint = Endpoint(DEFAULT, Sandbox("labkit-0123456789ab"), "veth0123456", "10.77.0.2")
    assert [operation.describe() for operation in endpoint.operations()] == [
        "ip link add veth0123456 type veth peer name eth0 address 02:42:0a:4d:00:02 netns labkit-0123456789ab",
        "ip link set veth0123456 master labkit0",
        "bridge link set dev veth0123456 hairpin on",
        "ip link set veth0123456 up",
        "ip -n labkit-0123456789ab address add 10.77.0.2/16 dev eth0",
        "ip -n labkit-0123456789ab link set eth0 up",
        "ip -n labkit-0123456789ab route add default via 10.77.0.1 proto static",
    ]


def test_a_bridge_has_an_address_of_its_own() -> None:
    """Or it would be the lowest of its ports', and another one when that port goes."""
    first = bridge.operations(DEFAULT, "iptables")[0]
    assert first.describe() == "ip link add labkit0 address 02:42:0a:4d:00:01 type bridge"


def test_a_sandbox_is_a_named_network_namespace() -> None:
    sandbox = Sandbox("labkit-x")
    assert sandbox.path == "/run/netns/labkit-x"
    assert [operation.describe() for operation in sandbox.operations()] == [
        "ip netns add labkit-x",
        "ip -n labkit-x link set lo up",
    ]


def test_the_chain_returns_what_comes_from_the_bridge_before_it_translates() -> None:
    nat = [rule for rule in bridge.rules(DEFAULT).rules if rule.startswith("nat")]
    assert nat == [
        "nat PREROUTING -m addrtype --dst-type LOCAL -j LABKIT",
        "nat PREROUTING -i labkit0 -m addrtype --dst-type LOCAL -j LABKIT-HAIRPIN",
        "nat OUTPUT -m addrtype --dst-type LOCAL -j LABKIT",
        "nat LABKIT -i labkit0 -j RETURN",
        "nat POSTROUTING -s 10.77.0.0/16 ! -o labkit0 -j MASQUERADE",
        "nat POSTROUTING -o labkit0 -m addrtype --src-type LOCAL -j MASQUERADE",
        "nat POSTROUTING -s 10.77.0.0/16 -o labkit0 -m conntrack --ctstate DNAT -j MASQUERADE",
    ]


def test_what_enters_from_another_network_was_translated() -> None:
    forward = [rule for rule in bridge.rules(DEFAULT).rules if rule.startswith("filter LABKIT-FORWARD")]
    drops = [rule for rule in forward if rule.endswith("DROP")]
    assert drops[0] == "filter LABKIT-FORWARD -i labkit+ -o labkit0 -m conntrack ! --ctstate DNAT -j DROP"
    assert forward.index(drops[0]) < forward.index("filter LABKIT-FORWARD -o labkit0 -j LABKIT")


def test_an_internal_network_has_no_way_out_and_no_address_translation() -> None:
    inner = replace(DEFAULT, name="inner", bridge="labkit-0a", internal=True)
    text = bridge.operations(inner)[-1].describe()
    assert "MASQUERADE" not in text
    assert "-i labkit-0a -j DROP" in text
    sandbox = Sandbox("labkit-x")
    operations = Endpoint(inner, sandbox, "veth0", "10.77.0.2").operations()
    assert not any("default" in operation.describe() for operation in operations)


def test_a_vlan_is_a_sub_interface_in_a_bridge_without_an_address() -> None:
    network = Network("v", "10.5.0.0/24", bridge="labkit-0b", driver="vlan", parent="eth0", vlan=10)
    assert [operation.describe() for operation in bridge.operations(network)] == [
        "ip link add labkit-0b type bridge",
        "ip link set labkit-0b up",
        "ip link add link eth0 name eth0.10 type vlan id 10",
        "ip link set eth0.10 master labkit-0b",
        "ip link set eth0.10 up",
    ]
    assert len(replace(network, parent="a-rather-long-n", vlan=4094).vlan_link) <= 15
