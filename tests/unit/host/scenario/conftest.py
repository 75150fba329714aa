"""A machine to try the player on: this computer, behind a real sshd of the test's own on the loopback interface."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import fabric
import pytest

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


class LocalMachine:
    """The Machine protocol over that sshd: nothing to start, nothing to reset."""

    name = "loopback"
    provider = "test"

    def __init__(self, port: int, key: Path, server: subprocess.Popen[bytes]) -> None:
        self.server = server
        self.resets = 0
        self._port, self._key = port, key
        self._connection: fabric.Connection | None = None

    def up(self) -> None:
        pass

    def down(self) -> None:
        self.close()

    def destroy(self) -> None:
        self.close()

    def reset(self) -> None:
        self.resets += 1

    def status(self) -> object:
        raise NotImplementedError

    def console_log(self) -> Path | None:
        return None

    def connection(self) -> fabric.Connection:
        if self._connection is None:
            connect = {"key_filename": str(self._key), "look_for_keys": False, "allow_agent": False}
            import pwd  # Windows has none, and loads this file all the same.

            user = pwd.getpwuid(os.getuid()).pw_name
            self._connection = fabric.Connection(
                "127.0.0.1", user=user, port=self._port, connect_kwargs=connect, config=fabric.Config(lazy=True)
            )
            self._connection.open()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture(scope="session")
def _sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path, subprocess.Popen[bytes]]]:
    if SSHD is None:
        pytest.skip("there is no sshd on this computer (Debian: apt-get install openssh-server)")
    place = tmp_path_factory.mktemp("sshd")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
    shutil.copy(place / "client.pub", place / "authorized")
    # sshd as root wants its privilege separation directory, a constant of Debian's build.
    separation = Path("/run/sshd") if os.getuid() == 0 and not Path("/run/sshd").exists() else None
    if separation:
        separation.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": place / "host",
        "AuthorizedKeysFile": place / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", "/dev/null", *options], stderr=(place / "log").open("wb"))
    try:
        _wait_for(port, server, place / "log")
        yield port, place / "client", server
    finally:
        server.terminate()
        server.wait(10)
        if separation:
            separation.rmdir()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd does not answer: {log.read_text()}")


@pytest.fixture
def machine(_sshd: tuple[int, Path, subprocess.Popen[bytes]]) -> Iterator[LocalMachine]:
    machine = LocalMachine(*_sshd)
    yield machine
    machine.close()
