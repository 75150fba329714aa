"""What every machine does alike: its one connection is kept, opened anew, and the clocks are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sshserver import ShellServer
from standins import POSIX_ONLY

from labkit.errors import InfrastructureError
from labkit.host.image.building import keys
from labkit.host.lab.config import MachineConfig
from labkit.host.machines.base import AGAIN, Machine
from labkit.host.wire import clock, ssh


class Running(Machine):
    """A server is what runs there."""

    def __init__(self, server: ShellServer, directory: Path) -> None:
        super().__init__(MachineConfig("default"))
        self.server = server
        key = directory / "client_key"
        key.write_bytes(keys.generate().private)
        host, port = server._socket.getsockname()
        self.endpoint = ssh.Endpoint(host, port, key, f"{server._key.get_name()} {server._key.get_base64()}")

    def _endpoint(self) -> ssh.Endpoint:
        return self.endpoint


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Running]:
    with ShellServer() as server:
        it = Running(server, tmp_path)
        yield it
        it._disconnect()


def silent(*_: object, **__: object) -> None:
    raise InfrastructureError("The connection to the machine was lost.")


@POSIX_ONLY
def test_the_clocks_are_compared_when_it_is_opened_and_long_afterwards(machine: Running) -> None:
    opened = machine.connection()
    assert machine.server.commands == [clock._TELL]
    assert machine.connection() is opened
    assert len(machine.server.commands) == 1
    machine._compared -= AGAIN + 1
    assert machine.connection() is opened
    assert machine.connection() is opened
    assert machine.server.commands == [clock._TELL] * 2


@POSIX_ONLY
def test_one_that_died_in_its_sleep_is_opened_anew(machine: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks alive until something is sent: nobody answers then."""
    opened = machine.connection()
    machine._compared -= AGAIN + 1
    answers = iter([silent, lambda *_, **__: None])
    monkeypatch.setattr(clock, "agree", lambda *words, **options: next(answers)(*words, **options))
    another = machine.connection()
    assert another.is_connected
    assert another is not opened
    assert not opened.is_connected


@POSIX_ONLY
def test_where_the_clock_is_not_told_there_is_no_connection(machine: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "agree", silent)
    with pytest.raises(InfrastructureError, match="was lost") as raised:
        machine.connection()
    assert "`invoke reset`" in raised.value.hint
    assert machine._connection is None
