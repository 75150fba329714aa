from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from sshserver import ShellServer
from standins import make_program

from labkit.errors import InfrastructureError
from labkit.host.image.building import keys
from labkit.host.tasks import shell
from labkit.host.wire import ssh

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the test's SSH server runs commands with sh")


@pytest.fixture
def server() -> Iterator[ShellServer]:
    with ShellServer() as running:
        yield running


@contextmanager
def standard_input(contents: bytes) -> Iterator[None]:
    """Descriptor 0 reads ``contents`` and then its end."""
    reader, writer = os.pipe()
    saved = os.dup(0)
    os.write(writer, contents)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_streams_and_status_are_the_commands(server: ShellServer, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    everything = bytes(range(256))
    with standard_input(everything):
        status = shell.run(server.connection(), "cat; echo to stderr >&2; exit 42")
    output = capfdbinary.readouterr()
    assert (status, output.out, output.err) == (42, everything, b"to stderr\n")


def test_a_command_that_reads_nothing_ends(server: ShellServer) -> None:
    with standard_input(b""):
        assert shell.run(server.connection(), "true") == 0


def test_much_output_arrives_whole(server: ShellServer, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with standard_input(b""):
        assert shell.run(server.connection(), "yes | head -c 1000000; yes no | head -c 300000 >&2") == 0
    output = capfdbinary.readouterr()
    assert (len(output.out), len(output.err)) == (1_000_000, 300_000)


def test_a_lost_connection_is_no_status_of_the_command(server: ShellServer) -> None:
    server.cut_after = 0
    with standard_input(b"anything"), pytest.raises(InfrastructureError, match="lost"):
        shell.run(server.connection(), "cat")


@contextmanager
def nobody_reads(descriptor: int) -> Iterator[None]:
    """What is written to ``descriptor`` has no reader."""
    reader, writer = os.pipe()
    os.close(reader)
    saved = os.dup(descriptor)
    os.dup2(writer, descriptor)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


def test_a_reader_that_has_had_enough_is_no_lost_connection(server: ShellServer) -> None:
    with standard_input(b""), nobody_reads(1), pytest.raises(BrokenPipeError):
        shell.run(server.connection(), "yes | head -c 100000")


def test_a_reader_of_the_errors_that_has_had_enough_holds_nothing_up(server: ShellServer) -> None:
    with standard_input(b""), nobody_reads(2), pytest.raises(BrokenPipeError):
        shell.run(server.connection(), "yes | head -c 5000000 >&2")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh client here")
def test_the_systems_client_accepts_the_command_line_and_the_key(server: ShellServer, tmp_path: Path) -> None:
    connection = server.connection()
    home = tmp_path / "a home"
    home.mkdir()
    paramiko.RSAKey.generate(2048).write_private_key_file(str(home / "key"))
    connection.client.get_host_keys().save(str(home / "known_hosts"))
    connection.connect_kwargs["key_filename"] = [str(home / "key")]
    command = shell.client_command("ssh", home / "known_hosts", connection)
    run = subprocess.run([*command, "exit 42"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert (run.returncode, run.stderr) == (42, "")
    (home / "known_hosts").write_text("")
    run = subprocess.run([*command, "exit 42"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert run.returncode == 255
    assert "Host key verification failed" in run.stderr


def test_a_shell_is_the_systems_clients_with_the_labs_own_key(
    server: ShellServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "client_key"
    key.write_bytes(keys.generate().private)
    host, port = server._socket.getsockname()
    known = f"{server._key.get_name()} {server._key.get_base64()}"
    client = make_program(tmp_path, "ssh", f'echo "$@" > {tmp_path}/words; exit 7')
    monkeypatch.setattr(shell.shutil, "which", lambda name: str(client))
    with ssh.connect(ssh.Endpoint(host, port, key, known)) as connection:
        assert shell.run(connection, None) == 7
    words = (tmp_path / "words").read_text().split()
    assert words[words.index("-i") + 1] == str(key)
    assert words[-1] == f"root@{host}"
