"""What every back end can do, what they all do alike, and what is known of a machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fabric

from labkit.errors import ConfigError, InfrastructureError, LabkitError
from labkit.host.lab import config as lab
from labkit.host.lab import paths, records
from labkit.host.lab.config import MachineConfig
from labkit.host.wire import clock, ssh
from labkit.host.wire.deploy import deploy
from labkit.host.wire.ssh import Endpoint

BOOT_LIMIT = 120.0
"""Seconds until sshd must answer after a boot. Software emulation on a busy machine takes 25."""
ANSWER_LIMIT = 20.0
"""Seconds until a machine that is running already must answer: then it hangs."""

AGAIN = 60.0
"""Seconds after which the clocks are compared again: a lesson may wait for its reader while the laptop sleeps."""

Facts = dict[str, str | int | None]


@dataclass(frozen=True)
class Status:
    """What ``invoke status`` shows of one machine."""

    name: str
    provider: str
    state: str
    """``absent`` (nothing on disk), ``stopped``, ``running`` or ``broken`` (see ``detail``)."""
    detail: str = ""
    facts: Facts = field(default_factory=dict)
    """Provider's own: pid, ssh port, accelerator, kernel, disk use in bytes …"""


class Machine:
    """What every back end can do. Each may raise ``InfrastructureError``, and takes the machine's lock if need be."""

    _console: Path
    """Where the guest's console is logged, if it is: each back end has a place for it."""

    def __init__(self, config: MachineConfig) -> None:
        self.name = config.name
        self.provider = config.provider
        self._config = config
        self._directory = paths.machine_dir(config.name)
        # `destroy` deletes this directory with all that is in it: it must be one machine's, and nothing above.
        if self._directory.parent != paths.state_dir() / "machines" or config.name in ("", ".", ".."):
            raise ConfigError(f"“{config.name}” cannot be a machine's name.", "Choose letters, digits and hyphens.")
        self._connection: fabric.Connection | None = None
        self._compared = 0.0
        """When its clock was looked at, by time.time(): a monotonic clock may stop while a computer sleeps."""

    def up(self) -> None:
        """Running, reachable and deployed. Where it is running and answers, nothing is done but for its clock."""
        with one_at_a_time(self.name):
            endpoint = self._endpoint()
            if endpoint is None:
                self._start()
            # A guest that is busy answers late: three tries, the last one patient.
            elif any(ssh.answers(endpoint.host, endpoint.port, timeout) for timeout in (2.0, 2.0, 8.0)):
                self.connection()  # It may have slept: then its clock is set.
            else:
                pid = self.status().facts.get("pid")
                process = f" (pid {pid})" if pid else ""
                reason = f"The machine {self.name} is running{process} and does not answer."
                raise InfrastructureError(reason, self._what_to_do())

    def down(self) -> None:
        """Stopped. Nothing of what was done in it is kept: the next ``up`` goes back to its snapshot."""
        if self._directory.exists():
            with one_at_a_time(self.name):
                self._stop(gently=True)

    def destroy(self) -> None:
        """Nothing of it is left on the host, the (shared) guest image excepted."""
        if self._directory.exists():
            with one_at_a_time(self.name):
                self._destroy()

    def reset(self) -> None:
        """As it was at the end of the first ``up``, the clock and a newer deploy excepted; running."""
        with one_at_a_time(self.name):
            self._reset()

    def status(self) -> Status:
        """What it is doing now; the guest is not asked. Never raises for a machine that is down."""
        if not self._directory.exists():
            return Status(self.name, self.provider, "absent")
        state, detail, facts = self._status()
        asked = {name: getattr(self._config, name) for name in ("memory_mib", "cpus", "cgroup", "iptables")}
        return Status(self.name, self.provider, state, detail, facts | asked)

    def connection(self) -> fabric.Connection:
        """An open SSH connection as root: one for everything, opened at first use, made anew where it was lost.

        The machine's clock is this computer's: whoever asks long afterwards has it compared once more.
        InfrastructureError where the machine is not running.
        """
        if self._connection is not None and self._connection.is_connected:
            with contextlib.suppress(InfrastructureError):  # Where it looks alive, and died in its sleep.
                if abs(time.time() - self._compared) > AGAIN:
                    self._compare_clocks(self._connection)
                return self._connection
        endpoint = self._endpoint()
        if endpoint is None:
            detail = self.status().detail
            reason = f"The machine {self.name} is not running{': ' if detail else ''}{detail}."
            raise InfrastructureError(reason, f"Start it: {task('up', self.name)}.")
        return self._connect(endpoint, ANSWER_LIMIT)

    def console_log(self) -> Path | None:
        """Where the guest's console is logged, if it is."""
        return self._console if self._console.exists() else None

    # What each back end does in its way.

    def _endpoint(self) -> Endpoint | None:
        """The way in, where the machine is complete and runs."""
        raise NotImplementedError

    def _start(self) -> None:
        """From its snapshot, or else made anew."""
        raise NotImplementedError

    def _stop(self, *, gently: bool = False) -> None:
        """Not running. ``gently`` is for a machine that is to be started again."""
        raise NotImplementedError

    def _destroy(self) -> None:
        raise NotImplementedError

    def _reset(self) -> None:
        self._start()

    def _status(self) -> tuple[str, str, Facts]:
        """State, detail and facts of a machine that has a directory."""
        raise NotImplementedError

    def _what_to_do(self) -> str:
        """The hint where it does not answer."""
        return f"{task('reset', self.name)} brings back a fresh one."

    # The one place where a machine is logged in to, and where its clock is looked at.

    def _connect(self, endpoint: Endpoint, limit: float = BOOT_LIMIT, *, is_fresh: bool = False) -> fabric.Connection:
        """A new connection.

        ``limit``: seconds after which a machine that stays silent is not tried once more. ``is_fresh``: it was booted
        or loaded a moment ago.
        """
        self._disconnect()
        try:
            with ssh.told_if_slow(f"Connecting to the machine {self.name}"):
                connection = self._connection = ssh.connect(endpoint, limit=limit)
            self._compare_clocks(connection, is_fresh=is_fresh)
        except InfrastructureError as error:
            self._disconnect()
            raise InfrastructureError(error.message, self._what_to_do()) from error
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError, EOFError, LabkitError):
                self._connection.close()
            self._connection = None

    def _compare_clocks(self, connection: fabric.Connection, *, is_fresh: bool = False) -> None:
        clock.agree(connection, self.name, is_fresh=is_fresh)
        self._compared = time.time()

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
    with records.locked(path, f"works on the machine {name}"):
        yield


def fingerprint(**described: object) -> str:
    """Tells machines apart that are made of something else."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


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
