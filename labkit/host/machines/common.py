"""What back ends share: the machine's directory and connection, one command at a time, how a task is typed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.errors import ConfigError, InfrastructureError, LabkitError
from labkit.host.lab import config as lab
from labkit.host.lab import locks, paths
from labkit.host.lab.config import MachineConfig
from labkit.host.wire.oneconnection import OneConnection

if TYPE_CHECKING:  # fabric takes 0.2 s to import, and `invoke up` of a running machine does not need it
    import fabric

    from labkit.host.wire.ssh import Endpoint

BOOT_LIMIT = 120.0
"""Seconds until sshd must answer after a boot. Software emulation on a busy machine takes 25."""
ANSWER_LIMIT = 20.0
"""Seconds until a machine that is running already must answer: then it hangs."""


class OwnMachine:
    """The part of a ``Machine`` (see base.py) that is the same whoever runs it."""

    def __init__(self, config: MachineConfig) -> None:
        self.name = config.name
        self.provider = config.provider
        self._config = config
        self._directory = paths.machine_dir(config.name)
        # `destroy` deletes this directory with all that is in it: it must be one machine's, and nothing above.
        if self._directory.parent != paths.state_dir() / "machines" or config.name in ("", ".", ".."):
            raise ConfigError(f"“{config.name}” cannot be a machine's name.", "Choose letters, digits and hyphens.")
        self._connection = OneConnection(config.name)

    def up(self) -> None:
        """Running, reachable and deployed. Where it is running and answers, nothing is done but for its clock."""
        with one_at_a_time(self.name):
            endpoint = self._endpoint()
            if endpoint is None:
                self._start()
            elif self._answers(endpoint):
                self.connection()  # It may have slept: then its clock is set.
            else:
                reason = f"The machine {self.name} is running{self._as_process()} and does not answer."
                raise InfrastructureError(reason, self._what_to_do())

    def connection(self) -> fabric.Connection:
        """The one connection, opened anew where it was lost. InfrastructureError where the machine is not running."""
        if current := self._connection.current():
            return current
        endpoint = self._endpoint()
        if endpoint is None:
            reason = f"The machine {self.name} {self._why_down()}."
            raise InfrastructureError(reason, f"Start it: {task('up', self.name)}.")
        return self._connect(endpoint, ANSWER_LIMIT)

    # What each back end says of its machine.

    def _endpoint(self) -> Endpoint | None:
        """The way in, where the machine is complete and runs."""
        raise NotImplementedError

    def _start(self) -> None:
        """From its snapshot, or else made anew."""
        raise NotImplementedError

    def _as_process(self) -> str:
        return ""

    def _why_down(self) -> str:
        return "is not running"

    def _what_to_do(self) -> str:
        """The hint where it does not answer."""
        return f"{task('reset', self.name)} brings back a fresh one."

    # What they do.

    def _facts(self) -> dict[str, str | int | None]:
        """What was asked for, for `invoke status`."""
        config = self._config
        return {
            "memory_mib": config.memory_mib,
            "cpus": config.cpus,
            "cgroup": config.cgroup,
            "iptables": config.iptables,
        }

    def _answers(self, endpoint: Endpoint) -> bool:
        from labkit.host.wire import ssh

        # A guest that is busy answers late: three tries, the last one patient.
        return any(ssh.answers(endpoint.host, endpoint.port, timeout) for timeout in (2.0, 2.0, 8.0))

    def _connect(self, endpoint: Endpoint, limit: float = BOOT_LIMIT, *, is_fresh: bool = False) -> fabric.Connection:
        return self._connection.open(endpoint, limit, self._what_to_do(), is_fresh=is_fresh)

    def _deploy(self) -> None:
        from labkit.host.wire.deploy import deploy

        deploy(self.connection())


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """One command at a time changes a machine."""
    path = paths.state_dir() / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"Cannot make {path.parent}: {error.strerror}"
        raise InfrastructureError(reason, "LABKIT_STATE chooses another.") from error
    with locks.held(path, f"works on the machine {name}"):
        yield


def task(verb: str, machine: str) -> str:
    """How the user types a task for this machine: backquotes included."""
    with contextlib.suppress(LabkitError):
        if lab.load().default_machine == machine:
            return f"`invoke {verb}`"
    return f"`invoke {verb} --machine {machine}`"
