"""A back end's one SSH connection: the one place where a machine is logged in to, and where its clock is looked at."""

from __future__ import annotations

import contextlib
import time

import fabric

from labkit.errors import InfrastructureError, LabkitError
from labkit.host.wire import clock, ssh
from labkit.host.wire.ssh import Endpoint

AGAIN = 60.0
"""Seconds after which the clocks are compared again: a lesson may wait for its reader while the laptop sleeps."""


class OneConnection:
    """Opened by ``open``, kept until it is closed or lost."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._connection: fabric.Connection | None = None
        self._compared = 0.0
        """When its clock was looked at, by time.time(): a monotonic clock may stop while a computer sleeps."""

    def current(self) -> fabric.Connection | None:
        """The connection; None where there is none (any more)."""
        if self._connection is None or not self._connection.is_connected:
            return None
        if abs(time.time() - self._compared) > AGAIN:
            try:
                self._compare(self._connection)
            except InfrastructureError:  # It looked alive, and died in its sleep.
                self.close()
        return self._connection

    def open(self, endpoint: Endpoint, limit: float, hint: str, *, is_fresh: bool = False) -> fabric.Connection:
        """A new connection, to a machine whose clock is this computer's.

        ``limit``: seconds after which a machine that stays silent is not tried once more. ``is_fresh``: it was
        booted or loaded a moment ago. InfrastructureError with ``hint`` where the machine does not let us in.
        """
        self.close()
        try:
            with ssh.told_if_slow(f"Connecting to the machine {self._machine}"):
                connection = self._connection = ssh.connect(endpoint, limit=limit)
            self._compare(connection, is_fresh=is_fresh)
        except InfrastructureError as error:
            self.close()
            raise InfrastructureError(error.message, hint) from error
        return connection

    def close(self) -> None:
        """There is none; where there was one, it is closed."""
        if self._connection is not None:
            with contextlib.suppress(OSError, EOFError, LabkitError):
                self._connection.close()
            self._connection = None

    def _compare(self, connection: fabric.Connection, *, is_fresh: bool = False) -> None:
        clock.agree(connection, self._machine, is_fresh=is_fresh)
        self._compared = time.time()
