from __future__ import annotations

from labkit.network import bridge
from labkit.network.model import DEFAULT, Endpoint, Sandbox


def test_an_endpoint_is_a_cable_from_the_bridge_into_the_sandbox() -> None:
    endpoint = Endpoint(DEFAULT, Sandbox("labkit-0123456789ab"), "veth0123456", "10.77.0.2")
    assert [operation.describe() for operation in endpoint.operations()] == [
        "ip link add veth0123456 type veth peer name eth0 netns labkit-0123456789ab",
        "ip link set veth0123456 master labkit0",
        "ip link set veth0123456 up",
        "ip -n labkit-0123456789ab address add 10.77.0.2/16 dev eth0",
        "ip -n labkit-0123456789ab link set eth0 up",
        "ip -n labkit-0123456789ab route add default via 10.77.0.1",
    ]


def test_a_sandbox_is_a_named_network_namespace() -> None:
    sandbox = Sandbox("labkit-x")
    assert sandbox.path == "/run/netns/labkit-x"
    assert [operation.describe() for operation in sandbox.operations()] == [
        "ip netns add labkit-x",
        "ip -n labkit-x link set lo up",
    ]


def test_the_chain_returns_what_comes_from_the_bridge_before_it_translates() -> None:
    nat = [rule for rule in bridge.rules("labkit0", "10.77.0.0/16").rules if rule.startswith("nat")]
    assert nat == [
        "nat PREROUTING -m addrtype --dst-type LOCAL -j LABKIT",
        "nat OUTPUT -m addrtype --dst-type LOCAL -j LABKIT",
        "nat LABKIT -i labkit0 -j RETURN",
        "nat POSTROUTING -s 10.77.0.0/16 ! -o labkit0 -j MASQUERADE",
        "nat POSTROUTING -o labkit0 -m addrtype --src-type LOCAL -j MASQUERADE",
    ]
