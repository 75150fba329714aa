"""testinfra over the lab's one SSH connection.

testinfra brings its own SSH back ends, which log in once more; a login costs nearly a second in an emulated guest.
Arguments are quoted by construction, as testinfra does: ``host.run("redis-cli -h %s ping", address)``.
"""

from __future__ import annotations

from typing import Any

import fabric
import invoke.exceptions
import paramiko
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from labkit.errors import InfrastructureError

_TIMEOUT = 60
"""Seconds that a check's command may take."""


class FabricBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """Runs testinfra's commands as root through an open fabric connection."""

    NAME = "labkit"

    def __init__(self, name: str, connection: fabric.Connection) -> None:
        super().__init__(name)
        self._connection = connection

    @property
    def encoding(self) -> str:
        """testinfra would start a Python in the machine to ask for it."""
        return "utf-8"

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Run ``command`` with ``args`` quoted into its ``%s``. A machine that is gone is no failed check."""
        line = self.get_command(command, *args)
        try:
            result = self._connection.run(line, hide=True, warn=True, in_stream=False, timeout=_TIMEOUT)
        except invoke.exceptions.CommandTimedOut:
            raise AssertionError(f"`{line}` did not end within {_TIMEOUT} seconds") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise _lost(error) from None
        # paramiko says -1 where the channel ended without a status: the connection broke, or a signal ended the shell.
        if result.exited == -1 and not self._connection.is_connected:
            raise _lost("the connection ended while a command ran")
        return self.result(result.exited, self.encode(line), result.stdout, result.stderr)


def host(name: str, connection: fabric.Connection) -> Host:
    """What the checks' ``host`` fixture is."""
    return Host(FabricBackend(name, connection))


def _lost(reason: object) -> InfrastructureError:
    return InfrastructureError(
        f"The connection to the machine was lost ({str(reason) or type(reason).__name__}).",
        "`invoke status` says what it is doing and `invoke logs` what it said last; `invoke up` brings it back.",
    )
