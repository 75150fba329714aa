"""Opening the connection: who is let in, who is waited for, and for how long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshserver import ShellServer

from labkit import log
from labkit.errors import InfrastructureError
from labkit.host.image.building import keys
from labkit.host.wire import ssh


@pytest.fixture
def client_key(tmp_path: Path) -> Path:
    path = tmp_path / "client_key"
    path.write_bytes(keys.generate().private)
    return path


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A port that accepts and says nothing, as QEMU's user-mode network does for a guest that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def endpoint_of(server: ShellServer, client_key: Path, host_key: str = "") -> ssh.Endpoint:
    host, port = server._socket.getsockname()
    own = f"{server._key.get_name()} {server._key.get_base64()}"
    return ssh.Endpoint(host, port, client_key, host_key or own)


def test_the_machine_with_the_known_key_is_trusted(client_key: Path) -> None:
    with ShellServer() as server:
        connection = ssh.connect(endpoint_of(server, client_key))
        try:
            assert connection.is_connected
            assert connection.user == "root"
        finally:
            connection.close()


def test_another_machine_is_not(client_key: Path) -> None:
    """Somebody else may listen on a port that was ours."""
    with ShellServer() as server, pytest.raises(InfrastructureError, match="Cannot log in") as caught:
        ssh.connect(endpoint_of(server, client_key, keys.generate().public))
    assert "invoke reset" in caught.value.hint


def test_an_answer_is_a_greeting(silent: tuple[str, int]) -> None:
    assert not ssh.answers(silent[0], silent[1], timeout=0.2)
    with ShellServer() as server:
        host, port = server._socket.getsockname()
        assert ssh.answers(host, port, timeout=5)


def test_waiting_ends_when_it_greets(client_key: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        endpoint = ssh.Endpoint(host, port, client_key, "ssh-ed25519 AAAA")

        def answer_the_third() -> None:
            for number in range(3):
                peer, _ = server.accept()
                if number == 2:
                    peer.sendall(b"SSH-2.0-test\r\n")
                peer.close()

        thread = threading.Thread(target=answer_the_third, daemon=True)
        thread.start()
        checked: list[int] = []
        ssh.wait_until_it_answers(endpoint, 20, lambda: checked.append(1))
        thread.join(10)
    assert len(checked) == 3


def test_waiting_is_bounded(silent: tuple[str, int], client_key: Path) -> None:
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="does not answer"):
        ssh.wait_until_it_answers(ssh.Endpoint(silent[0], silent[1], client_key, "ssh-ed25519 AAAA"), 1, lambda: None)
    assert time.monotonic() - started < 10


def test_waiting_in_vain_is_ended_by_the_check(silent: tuple[str, int], client_key: Path) -> None:
    def check() -> None:
        raise InfrastructureError("Kernel panic")

    with pytest.raises(InfrastructureError, match="Kernel panic"):
        ssh.wait_until_it_answers(ssh.Endpoint(silent[0], silent[1], client_key, "ssh-ed25519 AAAA"), 60, check)


def test_a_silent_machine_is_not_tried_again_for_ever(silent: tuple[str, int], client_key: Path) -> None:
    events: list[log.Event] = []
    stop_listening = log.listen(events.append)
    started = time.monotonic()
    endpoint = ssh.Endpoint(silent[0], silent[1], client_key, keys.generate().public)
    with pytest.raises(InfrastructureError, match="no answer within"), ssh.told_if_slow("Connecting", patience=0.1):
        ssh.connect(endpoint, attempts=100, timeout=1, limit=0.5)
    stop_listening()
    assert time.monotonic() - started < 10
    assert [(event["event"], event.get("ok")) for event in events] == [("step-start", None), ("step-end", False)]


def test_what_is_quick_is_not_told() -> None:
    events: list[log.Event] = []
    stop_listening = log.listen(events.append)
    with ssh.told_if_slow("Connecting", patience=30):
        pass
    stop_listening()
    assert events == []


def test_nobody_there(client_key: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        host, port = closed.getsockname()
    with pytest.raises(InfrastructureError, match=f"port {port}"):
        ssh.connect(ssh.Endpoint(host, port, client_key, keys.generate().public), attempts=2, timeout=2)
