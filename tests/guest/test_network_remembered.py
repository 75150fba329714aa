"""What is remembered of connections and neighbours does not outlive the rules, addresses and containers it is about."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import labkit, output, wait_for
from test_network_firewall import outside, run

from labkit.runtime.kernel import namespaces
from labkit.runtime.network import conntrack
from labkit.runtime.network.conntrack import Entry

pytestmark = pytest.mark.root

__all__ = ["outside"]

PORT = 7053
ECHO = ("busybox", "nc", "-ll", "-p", "80", "-e", "cat")
SERVER = """
import socket, sys
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[2])))
print("ready", flush=True)
while True:
    try:
        _, client = server.recvfrom(99)
        server.sendto(sys.argv[1].encode(), client)
    except OSError:
        pass
"""


@contextlib.contextmanager
def serving(where: Place | str, name: str, port: int = 53) -> Iterator[subprocess.Popen[str]]:
    """A program in a container's network (or in a named one) that answers each datagram to a port with its name."""
    namespace = where if isinstance(where, str) else where.namespace
    command = ["nsenter", f"--net={namespace}", sys.executable, "-I", "-S", "-c", SERVER, name, str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    try:
        yield server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


class Place(NamedTuple):
    """Where a container is."""

    namespace: str
    address: str
    other: str = ""
    """Its address in the second of its networks."""


def place(name: str) -> Place:
    """What inspect says of it."""
    (found,) = json.loads(labkit("inspect", name).stdout)
    addresses = [endpoint["address"] for endpoint in found["endpoints"].values()]
    return Place(found["network_namespace"], *addresses)


def start(name: str, *options: str) -> Place:
    """A container that waits."""
    labkit("run", "-d", "--name", name, "--stop-signal", "KILL", *options, "busybox", "sleep", "1000")
    return place(name)


class Client:
    """It sends a datagram every 20 ms, always from the same port, and notes who answers."""

    def __init__(self, to: tuple[str, int], namespace: str = "") -> None:
        with namespaces.entered(namespace) if namespace else contextlib.nullcontext():
            self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.settimeout(0.02)
        self.to = to
        self.answers: list[str] = []
        self.is_at_work = True
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while self.is_at_work:
            with contextlib.suppress(OSError):
                self.socket.sendto(b"?", self.to)
            with contextlib.suppress(OSError):
                self.answers.append(self.socket.recv(99).decode())
            time.sleep(0.02)

    def hears(self, name: str, seconds: float = 3.0) -> bool:
        """Whether it is answered by that one from now on."""
        seen = len(self.answers)
        return wait_for(lambda: name in self.answers[seen:], seconds)


class Ping(Client):
    """The same with echo requests, all of one id."""

    def __init__(self, to: str, namespace: str) -> None:
        super().__init__((to, 0))
        self.socket.close()
        with namespaces.entered(namespace):
            self.socket = socket.socket(type=socket.SOCK_RAW, proto=socket.IPPROTO_ICMP)
        self.socket.settimeout(0.02)

    def _work(self) -> None:
        while self.is_at_work:
            with contextlib.suppress(OSError):
                self.socket.sendto(struct.pack("!BBHHH", 8, 0, 0xFFFF - 0x800 - 77, 77, 0), self.to)
            with contextlib.suppress(OSError):
                if self.socket.recv(99)[20] == 0:
                    self.answers.append("pong")
            time.sleep(0.02)


@contextlib.contextmanager
def at_work(*clients: Client) -> Iterator[None]:
    for client in clients:
        client.thread.start()
    try:
        yield
    finally:
        for client in clients:
            client.is_at_work = False
            client.thread.join()
            client.socket.close()


def everywhere(outside: str) -> list[Client]:
    """To a published port: from this machine's loopback, from its address, from another machine."""
    ours = ("192.168.77.1", PORT)
    return [Client(("127.0.0.1", PORT)), Client(ours), Client(ours, f"/run/netns/{outside}")]


def _restarted() -> Place:
    labkit("restart", "first")
    return place("first")


def _moved_to_another() -> Place:
    labkit("run", "-d", "--name", "second", "busybox", "sleep", "1000")  # the next has not the first one's address
    labkit("stop", "first")
    labkit("run", "-d", "busybox", "sleep", "1000")
    return start("third", "-p", f"{PORT}:53/udp")


def _killed_with_its_shim() -> Place:
    (line,) = [line for line in output("ps", "-eo", "pid,args").splitlines() if "labkit-shim" in line]
    os.kill(int(line.split()[0]), signal.SIGKILL)
    time.sleep(0.1)
    labkit("start", "first")
    return place("first")


@pytest.mark.parametrize("change", [_restarted, _moved_to_another, _killed_with_its_shim])
def test_a_published_port_answers_those_who_went_on_sending(outside: str, change: Callable[[], Place]) -> None:
    clients = everywhere(outside)
    with serving(start("first", "-p", f"{PORT}:53/udp"), "one"), at_work(*clients):
        assert all(client.hears("one") for client in clients)
        with serving(change(), "two"):
            assert [client.to for client in clients if not client.hears("two")] == []


def test_the_next_container_of_an_address_gets_nothing_that_is_for_the_last(outside: str) -> None:
    clients = everywhere(outside)
    first = start("first", "-p", f"{PORT}:53/udp")
    with serving(first, "one"), at_work(*clients):
        assert all(client.hears("one") for client in clients)
        labkit("stop", "first")
        second = start("second")
        assert second.address == first.address
        with serving(second, "two"):
            assert [client.to for client in clients if client.hears("two", 0.2)] == []


def test_other_containers_reach_it_where_they_reached_the_last_with_its_address() -> None:
    """They remember the hardware address that belongs to it (ip-neighbour(8)), for half a minute and more."""
    first, peer = start("first"), start("peer")
    client = Client((first.address, 53), peer.namespace)
    with serving(first, "one"), at_work(client):
        assert client.hears("one")
        labkit("restart", "first")
        with serving(place("first"), "two"):
            assert client.hears("two")


def test_the_way_out_stays_when_others_come_and_go(outside: str) -> None:
    places = [start("first"), start("second"), start("third")]
    clients = {place.namespace: Client(("192.168.77.2", 53), place.namespace) for place in places}
    with serving(f"/run/netns/{outside}", "outside"), at_work(*clients.values()):
        assert all(client.hears("outside") for client in clients.values())
        ports = json.loads(output("ip", "-json", "link", "show", "master", "labkit0"))
        lowest = min(ports, key=lambda port: str(port["address"]))  # the bridge's, if it had none of its own
        number = lowest["ifname"][len("veth") :]
        labkit("stop", number)
        assert all(client.hears("outside") or number in namespace for namespace, client in clients.items())


def remembered(address: str) -> list[str]:
    """The protocols of the kernel's notes with that address, as another program's reader of them has it."""
    with open("/proc/net/nf_conntrack", encoding="ascii") as file:
        return sorted(line.split()[2] for line in file if f"={address} " in line)


def ask(to: str, port: int, namespace: str = "") -> socket.socket:
    """A datagram that is answered; its socket."""
    client = Client((to, port), namespace)
    client.socket.settimeout(2)
    client.socket.sendto(b"?", client.to)
    assert client.socket.recv(99)
    return client.socket


@pytest.fixture
def table() -> None:
    """The kernel shows its notes as text (CONFIG_NF_CONNTRACK_PROCFS)."""
    if not os.path.exists("/proc/net/nf_conntrack"):
        pytest.skip("this kernel has no /proc/net/nf_conntrack")


@pytest.fixture
def shop(_as_it_was: None) -> Iterator[str]:
    """A network; its name."""
    labkit("network", "create", "shop")
    yield "shop"
    labkit("rm", "-f", *labkit("ps", "-aq").stdout.split())
    labkit("network", "rm", "shop")


def test_what_ends_is_forgotten_and_nothing_else(table: None, outside: str, shop: str) -> None:
    with contextlib.ExitStack() as stack:
        labkit("run", "-d", "--name", "first", "-p", f"{PORT}:53/udp", "-p", f"{PORT}:80", *ECHO)
        labkit("network", "connect", shop, "first")
        inner, first, other = place("first")
        stack.enter_context(serving(inner, "one"))
        stack.enter_context(serving(f"/run/netns/{outside}", "outside", PORT + 1))
        stack.enter_context(ask("127.0.0.1", PORT))
        stack.enter_context(ask("192.168.77.2", PORT + 1, inner))
        stack.enter_context(ask(other, 53))
        stack.enter_context(socket.create_connection(("127.0.0.1", PORT)))
        stack.enter_context(ask("192.168.77.2", PORT + 1))
        assert remembered(first) == ["tcp", "udp", "udp"]
        assert remembered(other) == ["udp"]
        labkit("network", "disconnect", shop, "first")
        assert remembered(other) == []
        # Another machine's port is not the one that is published here, nor is a container's there.
        labkit("run", "-d", "-p", f"{PORT + 1}:53/udp", "busybox", "sleep", "1000")
        assert remembered(first) == ["tcp", "udp", "udp"]
        assert remembered("192.168.77.2") == ["udp", "udp"]
        labkit("stop", "-t", "0", "first")
        assert remembered(first) == []
        assert remembered("192.168.77.2") == ["udp"]


def test_a_repair_serves_those_who_went_on_sending_meanwhile(outside: str) -> None:
    run("ip -n outside route delete default")  # a container's own address is none that it could answer
    first = start("first", "-p", f"{PORT}:53/udp")
    with serving(first, "one"), serving(f"/run/netns/{outside}", "outside"):
        with at_work(*(clients := everywhere(outside))):
            assert all(client.hears("one") for client in clients)
        run("iptables -t nat -F")
        run("iptables -t nat -X")
        clients = everywhere(outside)
        leaving = [Client(("192.168.77.2", 53), first.namespace), Ping("192.168.77.2", first.namespace)]
        with at_work(*clients, *leaving):
            assert not any(client.hears("one", 0.1) for client in clients)
            assert not any(client.answers for client in leaving)
            commands = json.loads(labkit("network", "repair", "--json").stdout)
            assert f"conntrack -D -p udp --dport {PORT} > /dev/null 2>&1 || true" in commands
            assert [client.to for client in clients if not client.hears("one")] == []
            assert leaving[0].hears("outside")
            assert leaving[1].hears("pong")


STAND_IN = f"""#!/bin/sh
rules=$(iptables -t nat -S LABKIT 2> /dev/null | grep -c "dport {PORT} ")
echo "$* $rules" >> "${{0%/*}}/said"
exit 1
"""


@pytest.mark.parametrize("installed", [True, False])
def test_a_script_forgets_when_the_rules_are_there_and_when_they_are_gone(tmp_path: Path, installed: bool) -> None:
    script = tmp_path / "start.sh"
    words = ("run", "--dry-run", "-d", "-p", f"{PORT}:53/udp", "busybox", "sleep", "100")
    script.write_text(labkit(*words).stdout)
    said = tmp_path / "said"
    said.touch()
    if installed:  # and says that there was nothing to forget
        (tmp_path / "conntrack").write_text(STAND_IN)
        (tmp_path / "conntrack").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    try:
        subprocess.run(["bash", str(script)], check=True, env=environment, timeout=60, capture_output=True)
    finally:
        subprocess.run(["bash", str(script), "undo"], check=True, env=environment, timeout=60, capture_output=True)
    expected = [f"-D -p udp --dport {PORT} 1", "-D --orig-src 10.77.0.2 0", "-D --reply-src 10.77.0.2 0"]
    assert said.read_text().splitlines() == (expected if installed else [])


@pytest.fixture
def notes(table: None) -> Iterator[tuple[str, list[Entry]]]:
    """A container's address, and the kernel's notes about it: one of a connection, of a datagram, of a ping."""
    labkit("run", "-d", "--name", "first", *ECHO)
    inner, address, _ = place("first")
    with serving(inner, "one"), ask(address, 53):
        assert wait_for(lambda: _connects(address))
        with socket.create_connection((address, 80)), at_work(ping := Ping("10.77.0.1", inner)):
            assert ping.hears("pong")
            yield address, list(conntrack.listed([f"={address} "]))


def _connects(address: str) -> bool:
    try:
        socket.create_connection((address, 80), 1).close()
    except OSError:
        return False
    return True


def test_the_kernel_says_the_same_in_both_ways(notes: tuple[str, list[Entry]], monkeypatch: pytest.MonkeyPatch) -> None:
    address, listed = notes
    assert {entry.protocol for entry in listed} == {"tcp", "udp", "icmp"}
    dumped = [entry for entry in conntrack.dump() if address in str(entry)]
    assert set(dumped) == set(listed)
    monkeypatch.setattr(conntrack, "_TABLE", "/proc/net/nf_no_such_file")
    conntrack.forget_address(address)
    monkeypatch.undo()
    assert set(remembered(address)) <= {"icmp"}, "a ping goes on"


def test_a_kernel_without_ctnetlink_goes_on_without_a_word(
    notes: tuple[str, list[Entry]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, listed = notes
    for number in (31, socket.NETLINK_ROUTE):  # no such protocol; one that does not know these messages
        monkeypatch.setattr(conntrack, "_NETLINK_NETFILTER", number)
        conntrack.forget_address(address)
    assert len(remembered(address)) == len(listed)
