"""An SSH server for tests: paramiko's, on a loopback port, that runs commands with sh as this very user.

It is the real protocol with a real shell behind it, needs no sshd and no root, and can cut the connection in the middle
of what it receives, which no well-behaved sshd does on request.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from types import TracebackType

import fabric
import paramiko


class ShellServer:
    """``with ShellServer() as server: server.connection().run(…)``; ``server.commands`` are those that were run."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.cut_after: int | None = None
        """Bytes of a command's standard input after which the connection is cut, once."""
        self._key = paramiko.RSAKey.generate(2048)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self._connections: list[fabric.Connection] = []
        self._workers: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> ShellServer:
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for connection in self._connections:
            connection.close()
        self._socket.close()
        for transport in self._transports:
            transport.close()
        for worker in self._workers:
            worker.join(30)
            assert not worker.is_alive(), "a command is still running"

    def connection(self) -> fabric.Connection:
        """A new connection, which trusts this server's key only."""
        host, port = self._socket.getsockname()
        connection = fabric.Connection(
            host,
            user="tester",
            port=port,
            connect_kwargs={"password": "x", "allow_agent": False, "look_for_keys": False},
        )
        connection.client.get_host_keys().add(f"[{host}]:{port}", self._key.get_name(), self._key)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self._connections.append(connection)
        return connection

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:  # Closed: the test is over.
                return
            transport = paramiko.Transport(peer)
            transport.add_server_key(self._key)
            self._transports.append(transport)
            # With an event it does not wait here for the handshake, which a client that trusts another key breaks off.
            transport.start_server(event=threading.Event(), server=_Session(self))

    def start(self, channel: paramiko.Channel, command: str) -> None:
        """Run one command beside the others."""
        self.commands.append(command)
        worker = threading.Thread(target=self._run, args=(channel, command))
        self._workers.append(worker)
        worker.start()

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        process = subprocess.Popen(["sh", "-c", command], stdin=-1, stdout=-1, stderr=-1)  # -1: a pipe
        sent = bytearray()
        try:
            while chunk := channel.recv(32768):
                sent += chunk
                if self.cut_after is not None and len(sent) > self.cut_after:
                    sent, self.cut_after = sent[: self.cut_after], None
                    channel.get_transport().close()
                    break
        except (OSError, EOFError):
            pass
        stdout, stderr = process.communicate(bytes(sent), timeout=60)
        try:
            channel.sendall(stdout)
            channel.sendall_stderr(stderr)
            channel.send_exit_status(process.returncode)
            channel.close()
        except (OSError, EOFError):
            pass  # The connection was cut.


class _Session(paramiko.ServerInterface):
    def __init__(self, server: ShellServer) -> None:
        self._server = server

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        # Answered first and run after it: the client waits for the answer before it sends its input.
        self._server.start(channel, command.decode())
        return True
