"""``invoke ssh``: a shell in the machine, or one command, as with any other machine that one logs in to.

The system's own ssh client is the better terminal (window size, escape sequences, binary pipes) and is on nearly every
computer, Windows 10 and newer included; where there is none, fabric's shell does. Both trust exactly the host key that
the lab made for its machine, and offer exactly the lab's own key; what the user has in ``~/.ssh`` plays no part.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import fabric


def run(connection: fabric.Connection, command: str | None) -> int:
    """Log in, interactively or for ``command``; the exit status is the shell's or the command's (255: ssh's own)."""
    client, key = shutil.which("ssh"), _key_file(connection)
    if client and key:
        return _with_client(client, key, connection, command)
    if command is None:
        return int(connection.shell(warn=True).exited)
    return int(connection.run(command, warn=True, in_stream=False).exited)


def client_command(client: str, key: str, known_hosts: Path, connection: fabric.Connection) -> list[str]:
    """The ssh command line up to the host, from the connection's own data."""
    options = {
        "UserKnownHostsFile": f'"{known_hosts}"',  # Quoted: the value is a list, and a home may have a space in it.
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    login = ["-i", key, "-p", str(connection.port), f"{connection.user}@{connection.host}"]
    return [client, "-F", "none", *settings, *login]


def _with_client(client: str, key: str, connection: fabric.Connection, command: str | None) -> int:
    """Run the system's ssh with this process's standard streams."""
    with tempfile.TemporaryDirectory(prefix="labkit-ssh-") as scratch:
        known_hosts = Path(scratch) / "known_hosts"
        connection.client.get_host_keys().save(str(known_hosts))
        words = client_command(client, key, known_hosts, connection)
        return subprocess.call([*words, "--", command] if command is not None else words)


def _key_file(connection: fabric.Connection) -> str | None:
    """The private key's file, where the connection uses one."""
    name = connection.connect_kwargs.get("key_filename")
    return str(name[0]) if isinstance(name, list) else str(name) if name else None
