"""``invoke ssh``: a shell in the machine, or one command, as with any other machine that one logs in to.

A command runs over the connection that is there already, its streams passed on as bytes. For a shell the system's own
ssh client is the better terminal (window size, escape sequences), and it is on nearly every computer, Windows 10 and
newer included; where there is none, fabric's shell does. Both trust exactly the host key that the lab made for its
machine, and offer exactly the lab's own key; what the user has in ``~/.ssh`` plays no part.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import fabric
import paramiko
from invoke.exceptions import UnexpectedExit

from labkit.errors import InfrastructureError

_CHUNK = 32768

_SESSION_LIMIT = 20.0
"""Seconds that a machine may take to begin a command. paramiko would wait for an hour."""


class _ReaderIsGone(Exception):  # noqa: N818
    """Whoever read our output has had enough. Not BrokenPipeError, which the connection's own socket raises, too."""


def run(connection: fabric.Connection, command: str | None) -> int:
    """Log in, interactively or for ``command``; the exit status is the shell's or the command's."""
    if command is not None:
        return run_command(connection, command)
    client = shutil.which("ssh")
    if client:
        return _with_client(client, connection)
    try:
        return int(connection.shell().exited)
    except UnexpectedExit as error:  # fabric documents that there would be none, and fabric 3.2 raises it.
        return int(error.result.exited)


def run_command(connection: fabric.Connection, command: str) -> int:
    """Run ``command`` with this process's standard streams; its exit status.

    InfrastructureError where the machine is lost meanwhile, BrokenPipeError where nobody reads the output any more.
    There is no limit of time: Ctrl-C ends it.
    """
    try:
        connection.open()
        with connection.transport.open_session(timeout=_SESSION_LIMIT) as channel:
            channel.exec_command(command)
            threading.Thread(target=_send_input, args=(channel,), daemon=True).start()
            gone = threading.Event()
            errors = threading.Thread(target=_pass_errors_on, args=(channel, gone), daemon=True)
            errors.start()
            sys.stdout.flush()
            _pass_on(channel.recv, 1)
            errors.join()
            if gone.is_set():
                raise _ReaderIsGone
            status = int(channel.recv_exit_status())
    except _ReaderIsGone:
        raise BrokenPipeError from None
    except (EOFError, paramiko.SSHException, ConnectionError, TimeoutError) as error:
        raise InfrastructureError(
            f"The connection to the machine was lost: {error}.", "See `invoke status`."
        ) from error
    if status < 0:  # What paramiko makes of a connection that broke.
        raise InfrastructureError("The connection to the machine was lost.", "See `invoke status`.")
    return status


def _send_input(channel: paramiko.Channel) -> None:
    """Standard input, to its end, or until nobody wants it any more.

    By os.read: a thread that waits inside sys.stdin when the interpreter ends would hold its lock, which is fatal.
    """
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := os.read(0, _CHUNK):
            channel.sendall(data)
        channel.shutdown_write()


def _pass_on(receive: Callable[[int], bytes], descriptor: int) -> None:
    """What comes, to a descriptor of this process, as it comes."""
    while data := receive(_CHUNK):
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BrokenPipeError:
                raise _ReaderIsGone from None


def _pass_errors_on(channel: paramiko.Channel, gone: threading.Event) -> None:
    """Standard error. Where nobody reads it the command is ended, as by SIGPIPE: closing wakes the other reader."""
    try:
        _pass_on(channel.recv_stderr, 2)
    except _ReaderIsGone:
        gone.set()
        channel.close()


def client_command(client: str, known_hosts: Path, connection: fabric.Connection) -> list[str]:
    """The ssh command line, from the connection's own data."""
    options = {
        "UserKnownHostsFile": f'"{known_hosts}"',  # Quoted: the value is a list, and a home may have a space in it.
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    where = ["-p", str(connection.port), f"{connection.user}@{connection.host}"]
    key = connection.connect_kwargs["key_filename"][0]  # fabric makes a list of it
    return [client, "-F", "none", *settings, "-i", key, *where]


def _with_client(client: str, connection: fabric.Connection) -> int:
    """The system's ssh, with this process's standard streams."""
    with tempfile.TemporaryDirectory(prefix="labkit-ssh-") as scratch:
        known_hosts = Path(scratch) / "known_hosts"
        connection.client.get_host_keys().save(str(known_hosts))
        return subprocess.call(client_command(client, known_hosts, connection))
