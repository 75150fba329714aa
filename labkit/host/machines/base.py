"""What every back end can do, what they all do alike, and what is known of a machine."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fabric

from labkit.errors import ConfigError, InfrastructureError, LabkitError
from labkit.host.lab import config as lab
from labkit.host.lab import locks, paths
from labkit.host.lab.config import MachineConfig
from labkit.host.wire import ssh
from labkit.host.wire.deploy import deploy
from labkit.host.wire.oneconnection import OneConnection
from labkit.host.wire.ssh import Endpoint

BOOT_LIMIT = 120.0
"""Seconds until sshd must answer after a boot. Software emulation on a busy machine takes 25."""
ANSWER_LIMIT = 20.0
"""Seconds until a machine that is running already must answer: then it hangs."""


@dataclass(frozen=True)
class Status:
    """What ``invoke status`` shows of one machine."""

    name: str
    provider: str
    state: str
    """``absent`` (nothing on disk), ``stopped``, ``running`` or ``broken`` (see ``detail``)."""
    detail: str = ""
    facts: dict[str, str | int | None] = field(default_factory=dict)
    """Provider's own: pid, ssh port, accelerator, kernel, disk use in bytes …"""


class Machine:
    """What every back end can do. Each may raise ``InfrastructureError``, and takes the machine's lock if need be."""

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
        """An open SSH connection as root: one for everything, opened at first use, made anew where it was lost.

        The machine's clock is this computer's: whoever asks long afterwards has it compared once more.
        InfrastructureError where the machine is not running.
        """
        if current := self._connection.current():
            return current
        endpoint = self._endpoint()
        if endpoint is None:
            reason = f"The machine {self.name} {self._why_down()}."
            raise InfrastructureError(reason, f"Start it: {task('up', self.name)}.")
        return self._connect(endpoint, ANSWER_LIMIT)

    # What each back end does in its way.

    def down(self) -> None:
        """Stopped. A back end with a snapshot goes back to it at the next ``up``; others keep what is on the disk."""
        raise NotImplementedError

    def destroy(self) -> None:
        """Nothing of it is left on the host, the (shared) guest image excepted."""
        raise NotImplementedError

    def reset(self) -> None:
        """As it was at the end of the first ``up``, the clock and a newer deploy excepted; running."""
        raise NotImplementedError

    def status(self) -> Status:
        """What it is doing now. Never raises for a machine that is down."""
        raise NotImplementedError

    def console_log(self) -> Path | None:
        """Where the guest's console is logged, if it is."""
        raise NotImplementedError

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
        return {name: getattr(self._config, name) for name in ("memory_mib", "cpus", "cgroup", "iptables")}

    def _answers(self, endpoint: Endpoint) -> bool:
        # A guest that is busy answers late: three tries, the last one patient.
        return any(ssh.answers(endpoint.host, endpoint.port, timeout) for timeout in (2.0, 2.0, 8.0))

    def _connect(self, endpoint: Endpoint, limit: float = BOOT_LIMIT, *, is_fresh: bool = False) -> fabric.Connection:
        return self._connection.open(endpoint, limit, self._what_to_do(), is_fresh=is_fresh)

    def _deploy(self) -> None:
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


def check_options(config: MachineConfig, known: Mapping[str, Collection[str]]) -> None:
    """ConfigError where ``options:`` says something else: a name, and its values (empty: any)."""
    for name, value in config.options.items():
        if name not in known:
            unknown = f"has the option “{name}”, which the provider {config.provider} does not know"
            raise ConfigError(f"The machine {config.name} {unknown}.", f"It knows: {', '.join(known)}.")
        if known[name] and value not in known[name]:
            raise ConfigError(
                f"The option {name} of the machine {config.name} is “{value}”.",
                f"It can be: {', '.join(known[name])}.",
            )


def task(verb: str, machine: str) -> str:
    """How the user types a task for this machine: backquotes included."""
    with contextlib.suppress(LabkitError):
        if lab.load().default_machine == machine:
            return f"`invoke {verb}`"
    return f"`invoke {verb} --machine {machine}`"
