"""The one connection: kept, opened anew, and the clocks compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sshserver import ShellServer
from standins import POSIX_ONLY

from labkit.errors import InfrastructureError
from labkit.host.image.building import keys
from labkit.host.wire import clock, ssh
from labkit.host.wire.oneconnection import AGAIN, OneConnection


class Machine:
    """A server, and a connection to it."""

    def __init__(self, server: ShellServer, directory: Path) -> None:
        self.server = server
        self.one = OneConnection("default")
        key = directory / "client_key"
        key.write_bytes(keys.generate().private)
        host, port = server._socket.getsockname()
        self.endpoint = ssh.Endpoint(host, port, key, f"{server._key.get_name()} {server._key.get_base64()}")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ShellServer() as server:
        it = Machine(server, tmp_path)
        yield it
        it.one.close()


@POSIX_ONLY
def test_the_clocks_are_compared_when_it_is_opened_and_long_afterwards(machine: Machine) -> None:
    assert machine.one.current() is None
    opened = machine.one.open(machine.endpoint, 10, "")
    assert machine.server.commands == [clock._TELL]
    assert machine.one.current() is opened
    assert len(machine.server.commands) == 1
    machine.one._compared -= AGAIN + 1
    assert machine.one.current() is opened
    assert machine.one.current() is opened
    assert machine.server.commands == [clock._TELL] * 2


@POSIX_ONLY
def test_one_that_died_in_its_sleep_is_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks alive until something is sent: nobody answers then."""
    opened = machine.one.open(machine.endpoint, 10, "")
    machine.one._compared -= AGAIN + 1

    def silent(*_: object, **__: object) -> None:
        raise InfrastructureError("The connection to the machine was lost.")

    monkeypatch.setattr(clock, "agree", silent)
    assert machine.one.current() is None
    assert not opened.is_connected


@POSIX_ONLY
def test_where_the_clock_is_not_told_there_is_no_connection(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise InfrastructureError("The connection to the machine was lost.")

    monkeypatch.setattr(clock, "agree", silent)
    with pytest.raises(InfrastructureError, match="was lost") as raised:
        machine.one.open(machine.endpoint, 10, "`invoke reset`")
    assert raised.value.hint == "`invoke reset`"
    assert machine.one.current() is None
