"""Opening the one SSH connection to a machine: known keys on both sides, bounded waiting, no ssh configuration read."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fabric
import paramiko

from labkit import log
from labkit.errors import InfrastructureError

# paramiko's thread logs failures with a traceback, and Python prints what nobody handles. We raise them as errors.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_PAUSE = 0.15
"""Seconds between two tries."""

TIMEOUT = 120.0
"""Seconds without a byte from the machine after which it counts as lost. All of pyroute2 is compiled in 12."""

KEEPALIVE = 5
"""Seconds between two signs of life. A machine that was reset knows nothing of an older connection, and says so (TCP's
RST) only when something is sent to it."""


@dataclass(frozen=True)
class Endpoint:
    """Where a machine's sshd is, and the keys of both sides."""

    host: str
    port: int
    client_key: Path
    """The private key, a file."""
    host_key: str
    """The only public key that we accept: ``ssh-ed25519 AAAA…``."""


def answers(host: str, port: int, timeout: float) -> bool:
    """Whether an SSH server greets within ``timeout`` seconds.

    A connection alone would say nothing: QEMU's user-mode network accepts it before it has asked the guest.
    """
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_until_it_answers(endpoint: Endpoint, seconds: float, check: Callable[[], None]) -> None:
    """Return when sshd greets. ``check`` is called before each try, and raises where waiting is in vain.

    InfrastructureError when ``seconds`` are over.
    """
    started = time.monotonic()
    while (waited := time.monotonic() - started) < seconds:
        check()
        # Early in the boot packets are lost, and a try that waits long for its answer misses the moment. Later, a
        # machine that is slow to answer needs the patience.
        if answers(endpoint.host, endpoint.port, timeout=1.0 if waited < 20 else 5.0):
            return
        time.sleep(_PAUSE)
    raise InfrastructureError(f"The machine does not answer on its SSH port after {seconds:.0f} s.")


@contextlib.contextmanager
def told_if_slow(title: str, patience: float = 2.0) -> Iterator[None]:
    """Show what happens inside as a step, but only once it has taken ``patience`` seconds."""
    step = log.step(title)
    teller = threading.Timer(patience, step.__enter__)
    teller.daemon = True
    teller.start()
    try:
        yield
    finally:
        teller.cancel()
        teller.join()
        if step.started:
            step.__exit__(*sys.exc_info())


def connect(
    endpoint: Endpoint, attempts: int = 3, timeout: float = 20.0, limit: float = float("inf")
) -> fabric.Connection:
    """An open connection as root.

    ``timeout`` is in seconds, for each step of a login. InfrastructureError when ``attempts`` have failed, or when one
    has and ``limit`` seconds are over.
    """
    started = time.monotonic()
    for attempt in range(1, attempts + 1):
        connection = _known(endpoint, timeout)
        try:
            connection.open()
        except (OSError, EOFError, paramiko.SSHException) as error:
            connection.close()
            # A wrong key does not become right by repeating.
            final = isinstance(error, (paramiko.AuthenticationException, paramiko.BadHostKeyException))
            silent = not final and time.monotonic() - started >= limit
            if final or silent or attempt == attempts:
                # paramiko's words for silence are "No existing session".
                why = f"no answer within {limit:.0f} s." if silent else error
                raise InfrastructureError(
                    f"Cannot log in to the machine on {endpoint.host}, port {endpoint.port}: {why}",
                    "`invoke logs` shows the machine's console, `invoke reset` brings back a fresh one.",
                ) from error
            time.sleep(_PAUSE)
        except BaseException:
            connection.close()
            raise
        else:
            transport = connection.transport
            assert transport is not None
            # Commands are small and wait for each other: Nagle's algorithm would hold each back for a round trip.
            with contextlib.suppress(OSError, AttributeError):
                transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport.set_keepalive(KEEPALIVE)
            return connection
    raise AssertionError("the last attempt returns or raises")


def unopened(host: str, port: int, user: str, timeout: float, **key: Any) -> fabric.Connection:
    """A connection that reads neither ~/.ssh/config nor known_hosts nor asks an agent: only the given key counts.

    As it is it trusts whoever answers: fabric's policy.
    """
    timeouts = {"banner_timeout": timeout, "auth_timeout": timeout}
    return fabric.Connection(
        host,
        user,
        port,
        config=fabric.Config(ssh_config=paramiko.SSHConfig()),
        connect_timeout=timeout,
        connect_kwargs={"look_for_keys": False, "allow_agent": False, **timeouts, **key},
    )


def _known(endpoint: Endpoint, timeout: float) -> fabric.Connection:
    """One that trusts our machine alone."""
    key = paramiko.Ed25519Key.from_private_key_file(str(endpoint.client_key))
    # `invoke ssh` hands the file to the system's own client.
    file = str(endpoint.client_key)
    connection = unopened(endpoint.host, endpoint.port, "root", timeout, pkey=key, key_filename=file)
    kind, encoded = endpoint.host_key.split()[:2]
    name = f"[{endpoint.host}]:{endpoint.port}" if endpoint.port != 22 else endpoint.host
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {encoded}")
    if entry is None or entry.key is None:
        raise InfrastructureError(f"The machine's host key cannot be read: {endpoint.host_key}", "`invoke destroy up`")
    connection.client.get_host_keys().add(name, kind, entry.key)
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return connection


def execute(
    connection: fabric.Connection,
    command: str,
    stdin: bytes = b"",
    timeout: float = TIMEOUT,
    tell: Callable[[bytes], None] | None = None,
) -> tuple[int, bytes, bytes]:
    """Run ``command`` with ``stdin``; its exit status, standard output and standard error, all as bytes.

    ``tell`` gets both as they come, in one stream. fabric's own ``run`` decodes what passes, where a tar may, and
    leaves standard input open. InfrastructureError where the machine goes silent for ``timeout`` seconds.
    """
    try:
        connection.open()
        with connection.transport.open_session(timeout=min(timeout, TIMEOUT)) as channel:
            channel.settimeout(timeout)
            channel.set_combine_stderr(tell is not None)
            channel.exec_command(command)
            channel.sendall(stdin)
            channel.shutdown_write()
            while tell and (chunk := channel.recv(65536)):
                tell(chunk)
            stdout, stderr = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
            if not channel.status_event.wait(timeout) or channel.recv_exit_status() < 0:
                # paramiko reports a connection that broke as an end of both streams and a status of -1.
                raise EOFError("it ended before the command did")
            return channel.recv_exit_status(), stdout, stderr
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise InfrastructureError(
            f"The connection to the machine was lost: {error or type(error).__name__}.",
            "`invoke status` says whether it runs; `invoke reset` gives back a fresh one.",
        ) from error


def last_line(stderr: bytes) -> str:
    """What a command said last, which is most often why it failed."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing."
