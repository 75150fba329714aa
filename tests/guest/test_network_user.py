"""Networks that users make: who reaches whom, by which name, and what is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import labkit, output, picture, wait_for
from programs import LABKIT

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _networks_go(_as_it_was: None) -> Iterator[None]:
    yield
    containers = labkit("ps", "-aq").stdout.split()
    if containers:
        labkit("rm", "-f", *containers)
    labkit("network", "prune")


def start(name: str, *options: str, serves: bool = True) -> dict[str, Any]:
    """A container with a web server on port 80; what is known of it."""
    command = ["httpd", "-f", "-p", "80", "-h", "/etc"] if serves else ["sleep", "1000"]
    labkit("run", "-d", "--name", name, *options, "busybox", *command)
    return known(name)


def known(name: str) -> dict[str, Any]:
    (found,) = json.loads(labkit("inspect", name).stdout)
    return dict(found)


def inside(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A program of this system in a container's network."""
    entered = ["nsenter", f"--net={known(name)['network_namespace']}", *command]
    return subprocess.run(entered, text=True, capture_output=True, check=False, timeout=60)


def reaches(name: str, address: str, port: int = 80) -> bool:
    """Whether a connection from there succeeds."""
    return _connects(["nsenter", f"--net={known(name)['network_namespace']}"], address, port)


def _connects(prefix: list[str], address: str, port: int) -> bool:
    look = [*prefix, "timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
    return subprocess.run(look, capture_output=True, check=False, timeout=60).returncode == 0


def test_containers_of_one_network_reach_one_another_and_no_others() -> None:
    labkit("network", "create", "shop")
    labkit("network", "create", "--subnet", "10.90.0.0/24", "--gateway", "10.90.0.254", "bank")
    shop, till = start("shop-1", "--network", "shop"), start("shop-2", "--network", "shop")
    bank, plain = start("bank-1", "--network", "bank", "-p", "7020:80"), start("plain")
    assert bank["address"] == "10.90.0.2"
    assert "default via 10.90.0.254" in inside("bank-1", "ip", "route").stdout
    assert wait_for(lambda: reaches("shop-1", till["address"]))
    assert wait_for(lambda: _connects([], bank["address"], 80)), "the machine itself reaches all"
    for one, other in ((shop, bank), (bank, shop), (plain, shop), (shop, plain)):
        assert not reaches(one["name"], other["address"]), f"{one['name']} reaches {other['name']}"
    # A published port is there for all, at the machine's addresses.
    for name in ("shop-1", "plain", "bank-1"):
        gateway = inside(name, "ip", "route").stdout.split()[2]
        assert reaches(name, gateway, 7020), name
    assert not reaches("shop-1", bank["address"]), "and still not at its own address"


def test_isolation_is_a_rules_work() -> None:
    labkit("network", "create", "shop")
    start("one", "--network", "shop", serves=False)
    other = start("two")
    assert not reaches("one", other["address"])
    rule = "-i labkit+ -o labkit0 -m conntrack ! --ctstate DNAT -j DROP"
    assert rule in output("iptables", "-S", "LABKIT-FORWARD")
    subprocess.run(["iptables", "-I", "FORWARD", "-j", "ACCEPT"], check=True)
    try:
        assert wait_for(lambda: reaches("one", other["address"])), "without rules it is reached, or this shows nothing"
    finally:
        subprocess.run(["iptables", "-D", "FORWARD", "-j", "ACCEPT"], check=True)


def test_an_internal_network_has_no_way_out_and_none_in() -> None:
    labkit("network", "create", "--internal", "vault")
    start("one", "--network", "vault")
    two = start("two", "--network", "vault")
    plain = start("plain", "-p", "7021:80")
    assert wait_for(lambda: reaches("one", two["address"]))
    assert "default" not in inside("one", "ip", "route").stdout
    gateway = json.loads(labkit("network", "inspect", "vault").stdout)[0]["gateway"]
    # Even a container that may add a route of its own gets nowhere.
    assert inside("one", "ip", "route", "add", "default", "via", gateway).returncode == 0
    assert not reaches("one", plain["address"])
    assert not reaches("one", "10.77.0.1", 7021)
    assert not reaches("plain", two["address"])
    refused = labkit("run", "-d", "--network", "vault", "-p", "7022:80", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "no port can be published in vault: it is internal" in refused.stderr


def test_names_are_known_to_members_while_they_run() -> None:
    labkit("network", "create", "shop")
    first = start("first", "--network", "shop", serves=False)
    start("second", "--network", "shop", "--network-alias", "till", "--ip", "10.78.0.99", serves=False)
    hosts = labkit("exec", "first", "cat", "/etc/hosts").stdout
    assert f"{first['address']}\t" in hosts
    assert "10.78.0.99\tsecond" in hosts
    assert "till" in hosts
    ping = labkit("exec", "first", "ping", "-c", "1", "-W", "2", "till")
    assert "10.78.0.99" in ping.stdout
    labkit("stop", "-t", "0", "second")
    assert "10.78.0.99" not in labkit("exec", "first", "cat", "/etc/hosts").stdout
    labkit("start", "second")
    assert "10.78.0.99\tsecond" in labkit("exec", "first", "cat", "/etc/hosts").stdout


def test_a_running_container_is_connected_and_taken_out_again() -> None:
    labkit("network", "create", "shop")
    start("web", "-p", "7023:80")
    peer = start("peer", "--network", "shop")
    before = picture()
    explained = labkit("network", "connect", "--explain", "--alias", "www", "shop", "web").stderr
    assert "ip link add veth" in explained
    assert wait_for(lambda: reaches("web", peer["address"]))
    assert "default via 10.77.0.1" in inside("web", "ip", "route").stdout
    assert "www" in labkit("exec", "peer", "cat", "/etc/hosts").stdout
    again = labkit("network", "connect", "shop", "web", check=False)
    assert (again.returncode, again.stderr.splitlines()[0]) == (5, "labkit: the container web is in shop already")
    assert list(known("web")["endpoints"]) == ["labkit0", "shop"]
    labkit("network", "disconnect", "shop", "web")
    assert not reaches("web", peer["address"])
    assert "www" not in labkit("exec", "peer", "cat", "/etc/hosts").stdout
    assert picture() == before
    refused = labkit("network", "disconnect", "bridge", "web", check=False)
    assert refused.returncode == 5
    assert "the published ports of web lead through labkit0" in refused.stderr


def test_the_default_route_moves_to_the_next_network() -> None:
    labkit("network", "create", "--subnet", "10.91.0.0/24", "shop")
    start("web", serves=False)
    labkit("network", "connect", "shop", "web")
    labkit("network", "disconnect", "labkit0", "web")
    assert inside("web", "ip", "route").stdout.startswith("default via 10.91.0.1 dev eth1")
    labkit("network", "disconnect", "shop", "web")
    assert inside("web", "ip", "-br", "link").stdout.split()[0] == "lo"
    assert len(inside("web", "ip", "-br", "link").stdout.splitlines()) == 1
    labkit("network", "connect", "--ip", "10.91.0.77", "shop", "web")
    assert "default via 10.91.0.1 dev eth0" in inside("web", "ip", "route").stdout
    labkit("restart", "-t", "0", "web")
    assert known("web")["address"] == "10.91.0.77"


def test_a_stopped_container_is_connected_at_its_next_start() -> None:
    labkit("network", "create", "shop")
    labkit("create", "--name", "web", "busybox", "sleep", "1000")
    labkit("network", "connect", "shop", "web")
    (shown,) = json.loads(labkit("network", "inspect", "shop").stdout)
    assert [member["name"] for member in shown["containers"].values()] == ["web"]
    assert not shown["up"]
    labkit("start", "web")
    assert set(known("web")["endpoints"]) == {"labkit0", "shop"}
    address = known("web")["NetworkSettings"]["Networks"]["shop"]["IPAddress"]
    places = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}} {{(index .IPAM.Config 0).Subnet}}"
    assert labkit("network", "inspect", "-f", places, "shop").stdout == f"web {address}/16 {shown['subnet']}\n"
    assert [line.split()[0].partition("@")[0] for line in inside("web", "ip", "-br", "link").stdout.splitlines()] == [
        "lo",
        "eth0",
        "eth1",
    ]


def test_what_a_killed_connect_has_begun_ends_with_the_run() -> None:
    labkit("network", "create", "shop")
    clean = picture()
    start("web", serves=False)
    for delay in range(0, 300, 30):
        command = subprocess.Popen([*LABKIT, "network", "connect", "shop", "web"], stderr=subprocess.DEVNULL)
        time.sleep(delay / 1000)
        command.send_signal(signal.SIGKILL)
        command.wait()
        labkit("network", "disconnect", "shop", "web", check=False)
    labkit("rm", "-f", "web")
    labkit("gc")
    assert wait_for(lambda: picture() == clean), picture()


def test_a_reload_of_the_firewall_is_repaired() -> None:
    labkit("network", "create", "shop")
    web = start("web", "-p", "7024:80")
    start("other", "--network", "shop", "-p", "7025:80")
    assert wait_for(lambda: _connects([], "127.0.0.1", 7024) and _connects([], "127.0.0.1", 7025))
    whole = picture()
    assert labkit("network", "repair").stdout == "nothing is missing\n"
    for words in (("-F",), ("-t", "nat", "-F"), ("-t", "raw", "-F"), ("-X",), ("-t", "nat", "-X")):
        subprocess.run(["iptables", *words], check=True)
    assert not _connects([], "127.0.0.1", 7024)
    commands = json.loads(labkit("network", "repair", "--json").stdout)
    published = f"iptables -t nat -A LABKIT -p tcp -m tcp --dport 7024 -j DNAT --to-destination {web['address']}:80"
    assert published in commands
    assert _connects([], "127.0.0.1", 7024)
    assert _connects([], "127.0.0.1", 7025)
    assert sorted(picture()["rules"]) == sorted(whole["rules"])
    assert labkit("network", "repair").stdout == "nothing is missing\n"


def test_datagrams_pass_through_a_published_port() -> None:
    web = start("dns", "-p", "127.0.0.1:7026:53/udp", serves=False)
    server = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53)); s.sendto(*s.recvfrom(99))"
    )
    entered = ["nsenter", f"--net={web['network_namespace']}", sys.executable, "-c", server]
    answering = subprocess.Popen(entered)
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.3)
            asking.connect(("127.0.0.1", 7026))
            assert wait_for(lambda: _echo(asking) == b"ping")
    finally:
        answering.kill()
        answering.wait()


def _echo(asking: socket.socket) -> bytes:
    try:
        asking.send(b"ping")
        return asking.recv(99)
    except OSError:
        return b""


def test_a_vlan_reaches_its_own_members_across_machines_and_no_other_vlan() -> None:
    subprocess.run("ip link add vpar0 type veth peer name vpar1".split(), check=True)
    try:
        probe = "ip link add link vpar0 name vprobe type vlan id 9".split()
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("this kernel has no VLANs (802.1Q)")
        for name in ("vpar0", "vpar1"):
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        _vlans()
    finally:
        containers = labkit("ps", "-aq").stdout.split()
        if containers:
            labkit("rm", "-f", *containers)
        subprocess.run(["ip", "link", "delete", "vpar0"], check=True)


def _vlans() -> None:
    vlan = ("network", "create", "--driver", "vlan", "--subnet")
    labkit(*vlan, "192.168.10.0/25", "--parent", "vpar0", "--vlan-id", "10", "left")
    labkit(*vlan, "192.168.10.128/25", "--parent", "vpar1", "--vlan-id", "10", "right")
    labkit(*vlan, "192.168.11.0/24", "--parent", "vpar1", "--vlan-id", "11", "other")
    for name, network in (("a", "left"), ("b", "right"), ("c", "other")):
        start(name, "--network", network)
    # Two machines would share one subnet; two networks of one machine may not, so they get one beside theirs.
    for name, address in (("a", "192.168.12.1/24"), ("b", "192.168.12.2/24"), ("c", "192.168.12.3/24")):
        assert inside(name, "ip", "address", "add", address, "dev", "eth0").returncode == 0
    assert "vlan protocol 802.1Q id 10" in output("ip", "-d", "link", "show", "vpar0.10")
    assert wait_for(lambda: reaches("a", "192.168.12.2"))
    assert not reaches("a", "192.168.12.3")


def test_a_network_is_down_without_containers_and_cannot_be_removed_with_them() -> None:
    clean = picture()
    labkit("network", "create", "shop")
    (shown,) = json.loads(labkit("network", "inspect", "shop").stdout)
    assert shown["bridge"] not in output("ip", "-br", "link")
    web = start("web", "--network", "shop", serves=False)
    assert shown["bridge"] in output("ip", "-br", "link")
    refused = labkit("network", "rm", "shop", check=False)
    assert refused.returncode == 5
    assert f"the network shop is in use by {web['id'][:12]}" in refused.stderr
    assert labkit("network", "prune").stdout == ""
    labkit("rm", "-f", "web")
    assert labkit("network", "ls", "-q").stdout == "labkit0\nshop\n"
    assert labkit("network", "rm", "shop").stdout == "shop\n"
    assert picture() == clean


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("create --subnet 10.77.4.0/24 x", 5, "10.77.4.0/24 overlaps 10.77.0.0/16 of the network labkit0"),
        ("create --subnet 10.90.0.1/24 x", 2, "10.90.0.1/24 is an address within a subnet"),
        ("create --subnet 10.90.0.0/24 --gateway 10.91.0.1 x", 2, "the gateway 10.91.0.1 is not of the subnet"),
        ("create --driver overlay x", 2, "there is no network driver 'overlay'"),
        ("create --driver vlan --parent lo --vlan-id 4095 x", 2, "4095 is no vlan id"),
        ("create --driver vlan --parent lo --vlan-id 0 x", 2, "0 is no vlan id"),
        ("create --driver vlan --parent nodevice --vlan-id 5 x", 4, "there is no network device 'nodevice'"),
        ("create host", 2, "the name 'host' means something already"),
        ("create x.lock", 2, "the name 'x.lock' means something already"),
        ("create ../x", 2, "'../x' is no network name"),
        ("create --vlan-id ten x", 2, "it must be a whole number"),
        ("create", 2, "labkit network create: it takes NETWORK"),
        ("rm nosuch", 4, "there is no network 'nosuch'"),
        ("rm labkit0", 5, "labkit0 is always there"),
        ("connect labkit0 nosuch", 4, "there is no container 'nosuch'"),
        ("nosuch", 2, "labkit network has no command 'nosuch'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words: str, status: int, sentence: str) -> None:
    refused = labkit("network", *words.split(), check=False)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not os.path.isdir("/var/lib/labkit/networks") or not os.listdir("/var/lib/labkit/networks")


def test_resolver_and_hosts_are_as_they_were_asked_for() -> None:
    options = "--hostname box --dns 10.0.0.53 --dns-search lab.example --add-host db:10.9.8.7".split()
    said = labkit("run", "--rm", *options, "busybox", "sh", "-c", "hostname; cat /etc/resolv.conf /etc/hosts").stdout
    assert said.splitlines()[0] == "box"
    assert "nameserver 10.0.0.53\n" in said
    assert "search lab.example\n" in said
    assert "10.9.8.7\tdb\n" in said
