"""Published ports from outside, beside other programs' rules, and with either kind of iptables."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from conftest import labkit, output, wait_for

pytestmark = pytest.mark.root


def run(command: str) -> None:
    """A command of the system."""
    subprocess.run(command.split(), check=True, timeout=60)


def reaches(namespace: str, address: str, port: int) -> bool:
    """Whether a connection from a named network namespace (or from here) succeeds."""
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    look = [*prefix, "timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
    return subprocess.run(look, capture_output=True, check=False, timeout=60).returncode == 0


def start(name: str, *options: str) -> str:
    """A web server on port 80; its address."""
    labkit("run", "-d", "--name", name, *options, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    return str(json.loads(labkit("inspect", name).stdout)[0]["address"])


def namespace_of(name: str) -> str:
    """As ip-netns(8) names it."""
    return f"labkit-{json.loads(labkit('inspect', name).stdout)[0]['id'][:12]}"


@pytest.fixture
def outside(_as_it_was: None) -> Iterator[str]:
    """Another computer, as a network namespace: 192.168.77.2, we are 192.168.77.1, and it sends all through us."""
    run("ip netns add outside")
    run("ip link add labout type veth peer name eth0 netns outside")
    try:
        run("ip address add 192.168.77.1/24 dev labout")
        run("ip link set labout up")
        for words in ("address add 192.168.77.2/24 dev eth0", "link set eth0 up", "link set lo up"):
            run(f"ip -n outside {words}")
        run("ip -n outside route add default via 192.168.77.1")
        yield "outside"
        containers = labkit("ps", "-aq").stdout.split()
        if containers:
            labkit("rm", "-f", *containers)
    finally:
        run("ip link delete labout")
        run("ip netns delete outside")


@pytest.fixture
def dockers_policy(_as_it_was: None) -> Iterator[None]:
    """What docker does to FORWARD."""
    run("iptables -P FORWARD DROP")
    yield
    run("iptables -P FORWARD ACCEPT")


def test_from_outside_a_published_port_is_reached_and_no_other(outside: str, dockers_policy: None) -> None:
    published = start("web", "-p", "7040:80")
    plain = start("plain")
    assert wait_for(lambda: reaches(outside, "192.168.77.1", 7040))
    assert not reaches(outside, plain, 80), "a container's own address is not for outside"
    assert published != plain
    assert reaches("", plain, 80)


def test_an_address_publishes_there_only(outside: str) -> None:
    start("web", "-p", "127.0.0.1:7041:80", "-p", "192.168.77.1:7042:80")
    assert wait_for(lambda: reaches("", "127.0.0.1", 7041))
    assert not reaches(outside, "192.168.77.1", 7041)
    assert reaches(outside, "192.168.77.1", 7042)
    assert not reaches("", "127.0.0.1", 7042)


def test_containers_get_out_although_dockers_policy_drops(outside: str, dockers_policy: None) -> None:
    start("web")
    server = ["ip", "netns", "exec", outside, "busybox", "httpd", "-f", "-p", "80"]
    if not shutil.which("busybox"):
        pytest.skip("there is no busybox on this machine to be the server outside")
    serving = subprocess.Popen(server)
    try:
        assert wait_for(lambda: reaches(namespace_of("web"), "192.168.77.2", 80))
    finally:
        serving.kill()
        serving.wait()


def test_what_goes_to_dockers_networks_is_for_docker_to_decide(dockers_policy: None) -> None:
    start("web")
    run("ip netns add theirs")
    run("ip link add docker9 type veth peer name eth0 netns theirs")
    try:
        run("ip address add 172.19.0.1/24 dev docker9")
        run("ip link set docker9 up")
        run("ip -n theirs address add 172.19.0.2/24 dev eth0")
        run("ip -n theirs link set eth0 up")
        run("ip -n theirs route add default via 172.19.0.1")
        ping = "exec web ping -c 1 -W 1 172.19.0.2".split()
        assert labkit(*ping, check=False).returncode != 0
        run("iptables -A FORWARD -o docker9 -j ACCEPT")
        reached = labkit(*ping, check=False).returncode == 0
        run("iptables -D FORWARD -o docker9 -j ACCEPT")
        assert reached, "or this test shows nothing"
    finally:
        run("ip link delete docker9")
        run("ip netns delete theirs")


@pytest.mark.skipif(not shutil.which("iptables-legacy"), reason="there is no iptables-legacy on this machine")
def test_rules_join_those_that_are_there() -> None:
    if subprocess.run("iptables-legacy -A OUTPUT -p tcp --dport 9 -j ACCEPT".split(), check=False).returncode:
        pytest.skip("this kernel has no iptables of the older kind")
    if "legacy" not in output("readlink", "-f", shutil.which("iptables") or "") and "-A" in output("iptables-nft-save"):
        run("iptables-legacy -D OUTPUT -p tcp --dport 9 -j ACCEPT")
        pytest.skip("this machine has rules of the newer kind already")
    try:
        start("web", "-p", "7043:80")
        assert "--dport 7043" in output("iptables-legacy-save")
        assert "LABKIT" not in output("iptables-nft-save")
        assert wait_for(lambda: reaches("", "127.0.0.1", 7043))
        assert labkit("network", "repair").stdout == "nothing is missing\n"
        labkit("rm", "-f", "web")
        assert "LABKIT" not in output("iptables-legacy-save")
    finally:
        run("iptables-legacy -D OUTPUT -p tcp --dport 9 -j ACCEPT")


def test_docker_as_a_neighbour_keeps_its_rules() -> None:
    theirs = ["iptables -N DOCKER-USER", "iptables -A DOCKER-USER -j RETURN", "iptables -A FORWARD -j DOCKER-USER"]
    for command in theirs:
        run(command)
    try:
        before = output("iptables-save", "-t", "filter").splitlines()
        start("web", "-p", "7044:80")
        during = output("iptables-save", "-t", "filter").splitlines()
        kept = [line for line in before if "DOCKER" in line]
        assert [line for line in during if "DOCKER" in line] == kept
        labkit("rm", "-f", "web")
    finally:
        run("iptables -D FORWARD -j DOCKER-USER")
        run("iptables -F DOCKER-USER")
        run("iptables -X DOCKER-USER")
