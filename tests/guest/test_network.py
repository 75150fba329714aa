"""The bridge network and published ports, asked of ip, iptables and redis-cli."""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ask_redis, labkit, output, picture, wait_for


def _answers(address: str, port: int = 6379) -> bool:
    return ask_redis(address, port, "PING") == "+PONG\r\n"


def test_redis_answers_on_every_way_in() -> None:
    labkit("run", "-d", "-p", "6379:6379", "--name", "redis", "redis")
    assert wait_for(lambda: _answers("127.0.0.1"))
    assert _answers("10.77.0.2")
    assert _answers("10.77.0.1")
    clients = ask_redis("127.0.0.1", 6379, "CLIENT LIST")
    assert "addr=10.77.0.1:" in clients
    rule = output("iptables", "-t", "nat", "-S", "LABKIT").splitlines()
    assert rule[1:] == [
        "-A LABKIT -i labkit0 -j RETURN",
        "-A LABKIT -p tcp -m tcp --dport 6379 -j DNAT --to-destination 10.77.0.2:6379",
    ]
    passed = output("iptables", "-vnxL", "LABKIT").splitlines()[2].split()
    assert passed[2] == "ACCEPT"
    assert int(passed[0]) > 0, "the filter has not seen our own packets"
    labkit("stop", "redis")
    assert not _answers("127.0.0.1")


def test_containers_reach_one_another_and_the_gateway() -> None:
    labkit("run", "-d", "--name", "server", "busybox", "httpd", "-f", "-h", "/etc")
    (known,) = json.loads(labkit("inspect", "server").stdout)
    get = f"for _ in 1 2 3 4 5; do wget -qO- http://{known['address']}/hostname && break; sleep 0.3; done; ip route"
    client = labkit("run", "--rm", "busybox", "sh", "-c", get)
    assert client.stdout.splitlines()[0] == known["id"][:12]
    assert "default via 10.77.0.1 dev eth0" in client.stdout
    port = output("bridge", "link")
    assert f"veth{known['id'][:7]}" in port
    assert "master labkit0" in port


def test_a_port_is_published_once_and_a_busy_one_is_refused() -> None:
    labkit("run", "-d", "-p", "7001:80", "--name", "first", "busybox", "sleep", "100")
    before = picture()
    again = labkit("run", "-d", "-p", "7001:80", "busybox", "sleep", "100", check=False)
    assert again.returncode == 125
    assert "port 7001/tcp is published by the container" in again.stderr
    with socket.create_server(("127.0.0.1", 7002)):
        busy = labkit("run", "-d", "-p", "7002:80", "busybox", "sleep", "100", check=False)
    assert busy.returncode == 125
    assert "port 7002/tcp cannot be published: Address already in use" in busy.stderr
    assert wait_for(lambda: picture() == before)


def test_a_failed_first_container_takes_the_network_down_again() -> None:
    before = picture()
    refused = labkit("run", "-d", "-p", "7003:80", "busybox", "no-such-program", check=False)
    assert refused.returncode == 127
    assert picture() == before


def test_any_address_is_written_as_zeros() -> None:
    labkit("run", "-d", "-p", "0.0.0.0:6379:6379", "redis")
    assert wait_for(lambda: _answers("127.0.0.1"))


def test_a_container_does_not_reach_the_services_of_our_loopback() -> None:
    labkit("run", "-d", "--name", "curious", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "curious").stdout)
    rule = "-i labkit0 -d 127.0.0.0/8 -j DROP".split()
    with socket.create_server(("127.0.0.1", 7004)):
        # As a program that makes its own packets would do it: a route to 127.0.0.1 through the gateway.
        inside = ["nsenter", f"--net={known['network_namespace']}"]
        subprocess.run([*inside, "sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1"], check=True)
        subprocess.run([*inside, "ip", "address", "flush", "dev", "lo"], check=True)
        way = "127.0.0.1/32 via 10.77.0.1 dev eth0 src".split()
        subprocess.run([*inside, "ip", "route", "add", *way, known["address"]], check=True)
        look = [*inside, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7004"]
        assert subprocess.run(look, capture_output=True, check=False).returncode != 0
        subprocess.run(["iptables", "-t", "raw", "-D", "PREROUTING", *rule], check=True)
        open_door = subprocess.run(look, capture_output=True, check=False).returncode
        subprocess.run(["iptables", "-t", "raw", "-A", "PREROUTING", *rule], check=True)
        assert open_door == 0, "without the rule it is reached, or this test shows nothing"


def test_modes_without_a_bridge() -> None:
    none = labkit("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")
    assert none.stdout.split() == ["lo"]
    host = labkit("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net")
    assert host.stdout == output("readlink", "/proc/self/ns/net")


@pytest.mark.parametrize("count", [20])
def test_many_at_once_have_an_address_each_and_leave_nothing(count: int) -> None:
    before = picture()
    names = [f"many-{number}" for number in range(count)]
    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(lambda name: labkit("run", "-d", "--name", name, "busybox", "sleep", "1000"), names))
    assert len({result.stdout for result in results}) == count
    running = json.loads(labkit("ps", "--json").stdout)
    addresses = [container["address"] for container in running]
    assert len(set(addresses)) == count
    assert output("ip", "-o", "link").count("master labkit0") == count
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda name: labkit("stop", "-t", "0", name), names))
    labkit("rm", *names)
    assert wait_for(lambda: picture() == before), picture()


def test_forwarding_is_put_back() -> None:
    setting = Path("/proc/sys/net/ipv4/ip_forward")
    before = setting.read_text()
    setting.write_text("0")
    try:
        labkit("run", "--rm", "busybox", "true")
        assert setting.read_text() == "0\n"
    finally:
        setting.write_text(before)


def test_a_container_reaches_its_own_and_anothers_published_port_at_the_hosts_address() -> None:
    labkit("run", "-d", "-p", "7010:80", "--name", "server", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    labkit("run", "-d", "--name", "other", "busybox", "sleep", "100")

    def call(name: str) -> int:
        (known,) = json.loads(labkit("inspect", name).stdout)
        command = ["nsenter", f"--net={known['network_namespace']}", "timeout", "2"]
        script = (
            "exec 3<>/dev/tcp/10.77.0.1/7010; printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' >&3; grep -q '200 OK' <&3"
        )
        return subprocess.run([*command, "bash", "-c", script], capture_output=True, check=False).returncode

    assert wait_for(lambda: call("server") == 0), "its own port"
    assert call("other") == 0, "another one's port"
    rule = "LABKIT-HAIRPIN -p tcp -m tcp --dport 7010 -j DNAT --to-destination 10.77.0.2:80".split()
    subprocess.run(["iptables", "-t", "nat", "-D", *rule], check=True)
    assert call("server") != 0, "without the rule it is reached, or this test shows nothing"
    subprocess.run(["iptables", "-t", "nat", "-A", *rule], check=True)


def test_a_port_that_is_not_named_is_chosen_and_another_containers_network_is_joined() -> None:
    labkit("run", "-d", "-p", "80", "--name", "server", "--hostname", "web", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "server").stdout)
    (port,) = known["ports"]
    assert port == {"host_port": 32768, "container_port": 80, "protocol": "tcp", "host_address": ""}
    assert labkit("ps", "--format", "{{.Ports}}").stdout == "0.0.0.0:32768->80/tcp\n"
    joined = labkit("run", "--rm", "--network", "container:server", "busybox", "sh", "-c", "ip -4 addr; hostname")
    assert known["address"] in joined.stdout
    assert joined.stdout.splitlines()[-1] == "web"
