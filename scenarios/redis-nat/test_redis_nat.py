"""What the lesson redis-nat says, looked at from outside: by ip, iptables, ss, ping, redis-cli and pyroute2."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import pytest
from testinfra.host import Host

from labkit.host.scenario import PlayedLesson, after

BRIDGE = "labkit0"
CHAIN = "LABKIT"
START = "start it: `labkit run -d -p 6379:6379 --name redis redis`"
CALL = "redis-cli -h 127.0.0.1 -p 6379"


def inside(host: Host, program: str, command: str) -> str:
    """What ``command`` prints in the network namespace of the one process ``program`` that is not the machine's own."""
    result = host.run(f"set -- $(pids_of %s); nsenter --net --target $1 {command}", f"{program}*")
    assert result.rc == 0, f"no {program} runs in a container; {START}. {result.stderr.strip()}"
    return str(result.stdout)


#: A second witness beside ip(8), which asks the kernel by itself: for each link of this machine a line, its index, the
#: index at the cable's other end, its kind, its name, and the name of the bridge whose port it is.
WITNESS = """
import sys
sys.path.insert(0, "/opt/labkit/lib")
from pyroute2 import IPRoute
with IPRoute() as kernel:
    links = list(kernel.get_links())
names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
for link in links:
    info = link.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info else "-"
    print(link["index"], link.get_attr("IFLA_LINK") or 0, kind, link.get_attr("IFLA_IFNAME"),
          names.get(link.get_attr("IFLA_MASTER"), "-"))
"""


def device(host: Host, program: str = "redis-server") -> dict[str, Any]:
    """``ip -j addr`` of the container's eth0."""
    found = json.loads(inside(host, program, "ip -j -4 addr show eth0"))
    assert found, f"the container of {program} has no IPv4 address on eth0"
    return dict(found[0])


def address(host: Host, program: str = "redis-server") -> IPv4Interface:
    """The container's address with its prefix."""
    entry = device(host, program)["addr_info"][0]
    return IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")


def bridge_address(host: Host) -> IPv4Interface:
    """The bridge's own."""
    result = host.run("ip -j -4 addr show dev %s", BRIDGE)
    assert result.rc == 0, f"there is no bridge {BRIDGE}: no container is running in bridge mode"
    entry = json.loads(result.stdout)[0]["addr_info"][0]
    return IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")


def rules(host: Host) -> dict[str, list[str]]:
    """``nat PREROUTING`` -> its rules in order, each with its packet counter in front, as iptables-save prints them."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in host.check_output("iptables-save -c").splitlines():
        if line.startswith("*"):
            table = line[1:]
        rule = re.fullmatch(r"\[(\d+):\d+\] -A (\S+) (.*)", line)
        if rule:
            found.setdefault(f"{table} {rule[2]}", []).append(f"{rule[1]} {rule[3]}")
    return found


def counted(found: dict[str, list[str]], chain: str, words: str) -> int:
    """The packets that the chain's rule with these words has matched."""
    matching = [rule for rule in found.get(chain, []) if words in rule]
    assert matching, f"no rule with `{words}` in the chain {chain}"
    return sum(int(rule.split()[0]) for rule in matching)


def forwarding(host: Host) -> list[str]:
    """The DNAT rules for tcp port 6379 in our chain."""
    return [
        rule
        for rule in rules(host).get(f"nat {CHAIN}", [])
        if "-j DNAT" in rule and "--dport 6379 " in rule and "-p tcp" in rule
    ]


@after("start-redis")
@pytest.mark.claim("E7")
def test_publishing_appended_a_dnat_rule(host: Host) -> None:
    """Publishing the port appended a DNAT rule for tcp port 6379 that leads to the container's address, port 6379."""
    there = address(host).ip
    found = forwarding(host)
    assert found, f"no DNAT rule for tcp port 6379 in the chain {CHAIN}: nothing leads from that port to redis"
    assert len(found) == 1, f"{len(found)} DNAT rules for one published port"
    assert f"--to-destination {there}:6379" in found[0], f"the rule leads elsewhere than to {there}:6379: {found[0]}"


@after("a-network-of-its-own")
@pytest.mark.claim("E1")
def test_each_container_has_its_own_network_namespace(host: Host) -> None:
    """redis has a network namespace that is neither the machine's nor the other container's."""
    links = host.run("set -- $(pids_of 'redis-server*'); readlink /proc/self/ns/net /proc/$1/ns/net")
    ours, redis = links.stdout.split() if links.rc == 0 else ("", "")
    assert redis, f"no redis-server runs; {START}"
    assert ours != redis, "redis runs in the machine's own network namespace"
    others = host.run("for pid in $(pids_of 'sleep 3600*'); do readlink /proc/$pid/ns/net; done").stdout.split()
    assert redis not in others, "two containers share one network namespace"


@after("a-network-of-its-own")
@pytest.mark.claim("E1")
def test_the_port_is_open_in_there_only(host: Host) -> None:
    """Port 6379 is listened on in the container's namespace, and by nobody in the machine's."""
    assert "LISTEN" in inside(host, "redis-server", "ss -Hltn 'sport = :6379'"), "redis does not listen yet"
    assert host.check_output("ss -Hltn 'sport = :6379'") == "", "a process of the machine itself listens on the port"


@after("an-address-of-its-own")
@pytest.mark.claim("E3")
def test_the_address_is_of_the_bridges_subnet(host: Host) -> None:
    """redis has an address of its own from the bridge's subnet."""
    bridge, container = bridge_address(host), address(host)
    assert bridge.network == IPv4Network("10.77.0.0/16"), f"the bridge's subnet is {bridge.network}"
    assert container.network == bridge.network, f"redis's subnet is {container.network}, the bridge's {bridge.network}"
    assert container.ip != bridge.ip, f"redis and the bridge have the same address, {bridge.ip}"


@after("an-address-of-its-own", by_hand=False)
@pytest.mark.claim("E3")
def test_two_containers_have_two_addresses(host: Host) -> None:
    """The second container has another address of the same subnet."""
    first, second = address(host), address(host, "sleep 3600")
    assert first.network == second.network
    assert first.ip != second.ip


@after("the-cable-and-the-switch")
@pytest.mark.claim("E4")
def test_a_veth_pair_leads_to_the_bridge(host: Host) -> None:
    """redis's eth0 is one end of a veth pair, whose other end is a port of the bridge."""
    inner = device(host)
    links = json.loads(host.check_output("ip -d -j link show"))
    (outer,) = [link for link in links if link["ifindex"] == inner["link_index"]] or [{}]
    assert outer, "the other end of redis's eth0 is not on this machine"
    assert outer["linkinfo"]["info_kind"] == "veth", f"{outer['ifname']} is no veth device"
    assert outer["link_index"] == inner["ifindex"], f"the other end of {outer['ifname']} is not redis's eth0"
    assert outer.get("master") == BRIDGE, f"{outer['ifname']} is no port of {BRIDGE}"
    assert outer["operstate"] == "UP", f"{outer['ifname']} is {outer['operstate']}, and not UP"


@after("the-cable-and-the-switch")
@pytest.mark.claim("E4")
def test_a_second_witness_sees_the_same_cable(host: Host) -> None:
    """pyroute2, asking the kernel itself, finds the other end of redis's eth0 as a port of the bridge, too."""
    inner = device(host)
    lines = [line.split() for line in host.check_output("python3 -I -c %s", WITNESS).splitlines()]
    found = [line[1:] for line in lines if line[0] == str(inner["link_index"])]
    assert found, "the other end of redis's eth0 is not on this machine"
    number, kind, name, bridge = found[0]
    assert (number, kind) == (str(inner["ifindex"]), "veth"), f"{name} is not the other end of redis's eth0"
    assert bridge == BRIDGE, f"{name} is no port of {BRIDGE}"


@after("the-way-out")
@pytest.mark.claim("E5")
def test_the_bridge_is_the_default_gateway(host: Host) -> None:
    """redis's default gateway is the bridge's address."""
    routes = json.loads(inside(host, "redis-server", "ip -j -4 route show default"))
    gateways, bridge = [route["gateway"] for route in routes], str(bridge_address(host).ip)
    assert gateways == [bridge], (
        f"redis's default gateway is {', '.join(gateways) or 'missing'}, the bridge is {bridge}"
    )


@after("the-way-out")
@pytest.mark.claim("E8")
def test_the_container_answers_ping(host: Host) -> None:
    """The container's address answers ping from the machine."""
    result = host.run("ping -c 1 -W 2 %s", str(address(host).ip))
    assert result.rc == 0, f"{address(host).ip} does not answer ping; is redis running? {START}"


@after("pong")
@pytest.mark.claim("E9")
def test_pong(host: Host) -> None:
    """redis-cli on the machine's 127.0.0.1, port 6379, is answered with PONG."""
    result = host.run(f"timeout 5 {CALL} ping")
    assert result.stdout.strip() == "PONG", f"no PONG from 127.0.0.1:6379: {(result.stdout + result.stderr).strip()}"


@after("the-rules")
@pytest.mark.claim("E6")
def test_local_addresses_lead_to_our_chain(host: Host) -> None:
    """PREROUTING sends packets for local addresses to the chain; what comes from the bridge returns from it."""
    found = rules(host)
    for chain in ("nat PREROUTING", "nat OUTPUT"):
        jumps = [rule for rule in found.get(chain, []) if rule.endswith(f"-m addrtype --dst-type LOCAL -j {CHAIN}")]
        assert len(jumps) == 1, f"{chain} does not send packets for local addresses to {CHAIN}"
    first = found.get(f"nat {CHAIN}", ["nothing"])[0]
    assert first.endswith(f" -i {BRIDGE} -j RETURN"), f"the chain begins with `{first}`, not with the bridge's return"


@after("the-packets-way")
@pytest.mark.claim("E10")
def test_the_packet_passes_dnat_filter_and_masquerade(host: Host) -> None:
    """One call moves the counters of DNAT, of the filter and of the masquerade."""
    places = (
        (f"nat {CHAIN}", "--dport 6379 -j DNAT"),
        (f"filter {CHAIN}", "--dport 6379 -j ACCEPT"),
        ("nat POSTROUTING", f"-o {BRIDGE} -m addrtype --src-type LOCAL -j MASQUERADE"),
    )
    earlier = rules(host)
    before = [counted(earlier, *place) for place in places]
    host.check_output(f"timeout 5 {CALL} ping")
    later = rules(host)
    after_it = [counted(later, *place) for place in places]
    moved = [then - now for now, then in zip(before, after_it, strict=True)]
    assert all(number >= 1 for number in moved), f"DNAT, filter and masquerade counted {moved} packets of a new call"


@after("the-packets-way")
@pytest.mark.claim("E10")
def test_redis_sees_the_bridge(host: Host) -> None:
    """redis sees the bridge's address as its client."""
    clients = host.check_output(f"timeout 5 {CALL} client list")
    seen = set(re.findall(r"\baddr=([0-9.]+):", clients))
    assert seen == {str(bridge_address(host).ip)}, f"redis sees {seen or 'nobody'}"


@after("stop-it", by_hand=False)
@pytest.mark.claim("E12")
def test_stopping_removes_the_rule(host: Host) -> None:
    """Stopping the container removed its rules, and the port is closed again."""
    assert forwarding(host) == []
    assert [rule for rule in rules(host).get(f"filter {CHAIN}", []) if "6379" in rule] == []
    assert host.run(f"timeout 5 {CALL} ping").rc != 0


@after("stop-it", by_hand=False)
@pytest.mark.claim("E12")
def test_stopping_removes_the_veth_pair_and_the_reservation(host: Host, lesson: PlayedLesson) -> None:
    """Stopping the container removed its veth pair, its namespace and the reservation of its address."""
    short = lesson.variable("redis")[:12]
    assert re.fullmatch(r"[0-9a-f]{12}", short)
    names = host.check_output("ip netns list")
    assert "labkit-" in names, "the sleeper's namespace is gone, too"
    assert short not in names
    ports = json.loads(host.check_output("ip -j link show master %s", BRIDGE))
    assert len(ports) == 1, "only the sleeper should be plugged in"
    assert not ports[0]["ifname"].endswith(short[:7])
    assert host.check_output("cd /run/labkit/networks && find . -name '10.77.*' -printf '%f\n'") == "10.77.0.3"


@after("put-everything-back", by_hand=False)
def test_nothing_is_left(host: Host) -> None:
    """No rule, no bridge, no veth, no namespace is left."""
    assert CHAIN not in host.check_output("iptables-save")
    assert host.run("ip netns list").stdout == ""
    kinds = {link.get("linkinfo", {}).get("info_kind") for link in json.loads(host.check_output("ip -d -j link show"))}
    assert not kinds & {"bridge", "veth"}
