"""The shell of a lesson: one bash in the machine that lives as long as the lesson does.

So variables, background jobs and the working directory are kept from one step to the next, as they are for somebody
who types. There is no terminal: the shell reads its commands from an SSH channel, and standard output and error come
back in one stream, in the order in which they were written.
"""

from __future__ import annotations

import base64
import secrets
import shlex
import time
from dataclasses import dataclass

import fabric
import paramiko

from labkit.errors import InfrastructureError

_ENVIRONMENT = {
    # What a login would set; sshd starts the shell with its own short list. COLUMNS is for `ps`, which else cuts
    # its lines at 80 characters; LC_ALL makes every machine speak the language that the lessons expect.
    "COLUMNS": "200",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
}

_CHUNK = 32768
_MOST_OUTPUT = 4 * 1024 * 1024
"""Bytes that one command may print: a `yes` that was forgotten must not fill the reader's memory."""

_GRACE = 10.0
"""Seconds that a machine has to answer when it is asked whether it is still there."""


class ShellLostError(Exception):
    """The command did not end in time, printed without end, or ended the shell: that is of no use afterwards."""

    def __init__(self, reason: str, output: bytes | bytearray) -> None:
        super().__init__(reason)
        self.output = output.decode("utf-8", "replace")


@dataclass(frozen=True)
class Result:
    """What a command printed (both streams) and its exit status."""

    output: str
    exit_status: int


class Shell:
    """A bash at the far end of an open connection."""

    def __init__(self, connection: fabric.Connection) -> None:
        self._last_status = 0
        transport = connection.client.get_transport() if connection.client else None
        if transport is None or not transport.is_active():
            raise _lost()
        self._transport: paramiko.Transport = transport
        try:
            self._channel = transport.open_session(timeout=_GRACE)
            settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in _ENVIRONMENT.items())
            # sshd has a pipe for each of the two streams, and their order is lost between them; hence one stream.
            self._channel.exec_command(f"exec env {settings} bash --noprofile --norc 2>&1")
        except (paramiko.SSHException, EOFError, OSError):
            raise _lost() from None

    def run(self, command: str, timeout: float = 30.0) -> Result:
        """Run one command (it may be several lines) and wait for its end, ``timeout`` seconds at most.

        Raises ShellLostError, after which the shell cannot be used; InfrastructureError where the machine itself is
        gone.
        """
        # The marker says where the output ends. A command cannot know it, so nothing it prints can be taken for it.
        marker = f"labkit-{secrets.token_hex(16)}"
        # `eval` runs the text in this very shell, here-documents included, and takes a syntax error for a failed
        # command; read as a plain script, an unfinished quote would swallow the marker. `</dev/null` keeps the
        # commands from reading the script. `(exit N)` gives the command its predecessor's `$?`, where it is not 0.
        before = f"(exit {self._last_status}); " if self._last_status else ""
        script = f"{before}eval {shlex.quote(command)} </dev/null\nprintf '\\n{marker} %d\\n' $?\n"
        deadline = time.monotonic() + timeout
        try:
            self._channel.settimeout(timeout)
            self._channel.sendall(script.encode())
        except OSError:
            raise _lost() from None
        output, status = self._read_until(marker.encode(), deadline, timeout)
        self._last_status = status
        return Result(output, status)

    def variable(self, name: str) -> str:
        """The value of a variable of this shell; empty where it is not set."""
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no shell variable")
        status = self._last_status
        value = self.run(f'printf %s "${{{name}-}}"').output
        self._last_status = status
        return value

    def enter(self, directory: str, archive: bytes, *, keep: bool = False) -> None:
        """Make ``directory``, unpack ``archive`` (a tar file; small; maybe empty) in it, and stay there.

        With ``keep``, a file that is there already stays as it is; else the archive's takes its place.
        """
        place, unpack = shlex.quote(directory), ""
        if archive:
            text = base64.b64encode(archive).decode("ascii")
            tar = f"tar -xf - --no-same-owner{' --skip-old-files' if keep else ''}"
            unpack = f" && base64 -d <<'END' | {tar}\n{text}\nEND"
        made = self.run(f"mkdir -p {place} && cd {place}{unpack}")
        if made.exit_status != 0:
            raise InfrastructureError(
                f"The lesson's files cannot be put into {directory} of the machine: {made.output.strip()}",
                "Is the machine's disk full? `invoke reset` gives you a fresh one.",
            )

    def close(self) -> None:
        """End the shell. What it started in the background is not ended."""
        self._channel.close()

    def _read_until(self, marker: bytes, deadline: float, timeout: float) -> tuple[str, int]:
        """What comes before the marker's line, and the exit status on it."""
        received = bytearray()
        while True:
            found = received.find(b"\n" + marker + b" ")
            if found >= 0 and received.endswith(b"\n") and len(received) > found + len(marker) + 2:
                status = received[found + len(marker) + 2 :].split(b"\n", 1)[0]
                return received[:found].decode("utf-8", "replace"), int(status)
            self._channel.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                chunk = self._channel.recv(_CHUNK)
            except TimeoutError:
                self._check_alive()
                raise ShellLostError(f"It hangs: it did not end within {timeout:g} seconds.", received) from None
            except OSError:
                raise _lost() from None
            if not chunk:
                self._check_alive()
                raise ShellLostError("It ended the lesson's shell.", received)
            received += chunk
            if len(received) > _MOST_OUTPUT:
                raise ShellLostError(f"It hangs: it printed more than {_MOST_OUTPUT >> 20} MiB.", received[:_CHUNK])

    def _check_alive(self) -> None:
        """InfrastructureError where the machine does not answer any more: then the command is not to blame."""
        try:
            probe = self._transport.open_session(timeout=_GRACE)
            probe.settimeout(_GRACE)
            probe.exec_command("echo alive")
            answer = probe.recv(16)
            probe.close()
        except (paramiko.SSHException, EOFError, OSError):
            raise _lost() from None
        if not answer:
            raise _lost()


def _lost() -> InfrastructureError:
    return InfrastructureError(
        "The connection to the machine was lost.",
        "`invoke status` says what it is doing and `invoke logs` what it said last; `invoke up` brings it back.",
    )
