"""What is known of a container: a JSON file of what it is, one for its state, a link for its name.

/var/lib/labkit/containers/ID/container.json, state.json, config.json, container.log, upper, work
                              hosts, hostname, resolv.conf; stopped: no restart policy starts it again
/var/lib/labkit/names/NAME -> ID
/var/lib/labkit/journals/ID     what made the above
/run/labkit/journals/ID         what its run consists of: mounts, links, rules; ID.runtime: cgroups
/run/labkit/containers/ID       rootfs, attach: the shim's socket
/run/labkit/leases/ID           the lock of whoever is responsible for it
/run/labkit/updates/ID          an update of its limits that is under way
"""

from __future__ import annotations

import os

from labkit.errors import ConfigError, ConflictError, NotFoundError, UsageError
from labkit.runtime.cgroups import freezer
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.record import eventlog, lease
from labkit.runtime.engine.record.options import Options
from labkit.runtime.kernel import process
from labkit.runtime.network.model import PortMapping
from labkit.runtime.operations import Journal
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.dataclasses import asdict, dataclass, field, replace
from labkit.runtime.std.typing import Any, TypeVar
from labkit.runtime.text import textfile
from labkit.runtime.text.document import from_json

T = TypeVar("T")

DATA = "/var/lib/labkit"
RUN = "/run/labkit"
NAMES = f"{DATA}/names"
UPDATES = f"{RUN}/updates"
OWN_RUNTIME = "labkit-oci"

_PUNCTUATION = dict.fromkeys(map(ord, "_.-"))

STATUSES = ("created", "running", "paused", "restarting", "exited")


@dataclass(frozen=True)
class State:
    """Where a container is in its life. Times are seconds since the epoch, 0 for not yet."""

    status: str = "created"
    """``created``, ``running``, ``paused``, ``restarting`` or ``exited``."""
    pid: int = 0
    pid_started: int = 0
    """The first process (the shim while it waits to restart), and its start time in clock ticks; see
    kernel/process.py.
    """
    exit_code: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0
    boot: str = ""
    """The boot in which it runs (kernel/process.py): a pid of another boot means nothing."""
    restarts: int = 0
    """How often its policy has started it again."""
    oom_killed: bool = False
    """Whether the kernel killed something in it for want of memory, in its last run."""
    error: str = ""
    """Why its policy could not start it again."""

    @property
    def runs(self) -> bool:
        """Whether it has processes."""
        return self.status in ("running", "paused")

    @property
    def lives(self) -> bool:
        """Whether its shim is at work: it has processes, or will have some again."""
        return self.runs or self.status == "restarting"


@dataclass(frozen=True)
class Container:
    """What was asked for, and what it has got. ``id`` is 64 hex digits; its first 12 name it, too."""

    id: str
    name: str
    image: str
    image_id: str
    command: list[str]
    """All of its first program's arguments."""
    created: float
    options: Options
    storage_driver: str = "overlay"
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Network name -> what it has there, as ``address``; of its last start."""
    ports: list[PortMapping] = field(default_factory=list)
    """The published ports of its last start."""

    @property
    def network(self) -> str:
        """Its network mode."""
        return self.options.network

    @property
    def address(self) -> str:
        """The one in its first network; empty where it has none."""
        return next((str(endpoint.get("address", "")) for endpoint in self.endpoints.values()), "")

    @property
    def runtime(self) -> str:
        """The low-level runtime that makes its processes."""
        return self.options.runtime or OWN_RUNTIME

    @property
    def short_id(self) -> str:
        """The first 12 digits."""
        return self.id[:12]

    @property
    def directory(self) -> str:
        """Where it keeps what outlives its run; it is the bundle, too."""
        return f"{DATA}/containers/{self.id}"

    @property
    def run_directory(self) -> str:
        """What goes when it stops."""
        return f"{RUN}/containers/{self.id}"

    @property
    def rootfs(self) -> str:
        """The union mount."""
        return f"{self.run_directory}/rootfs"

    @property
    def cgroups_path(self) -> str:
        """As the specification's cgroupsPath."""
        return f"/labkit/{self.id}"

    @property
    def log_path(self) -> str:
        """What it wrote (shim/logfile.py); empty where nothing is kept."""
        return "" if self.options.log_driver == "none" else f"{self.directory}/container.log"

    @property
    def stop_mark(self) -> str:
        """The file that says that somebody wanted it to end."""
        return f"{self.directory}/stopped"

    @property
    def attach_path(self) -> str:
        """The socket at which its shim listens."""
        return f"{self.run_directory}/attach"

    def shown(self) -> dict[str, Any]:
        """All of it, for programs that read; the address and the network stand in front, too."""
        return {**asdict(self), "network": self.network, "address": self.address}

    def save(self) -> None:
        """Write it, for others to find."""
        textfile.save(f"{self.directory}/container.json", json.dumps(asdict(self)))

    def state(self) -> State:
        """What it is doing now. A first process that is gone while nobody is responsible any more means that its shim
        died, too; as long as somebody is, what became of it is still to be said.

        ``paused`` is the kernel's word and never written: whoever thaws the group, the container runs.
        """
        state = self.written_state()
        if state.status not in ("running", "restarting"):
            return state
        if state.boot == process.boot_id() and process.is_alive(state.pid, state.pid_started):
            if state.status == "restarting":
                return state
            return replace(state, status="paused") if freezer.is_frozen(self.cgroups_path, here()) else state
        return state if lease.is_held(self.id) else replace(state, status="exited", pid=0, exit_code=137)

    def written_state(self) -> State:
        """What its shim wrote last, true or not."""
        try:
            return state_of(self.id)
        except FileNotFoundError:
            return State()

    def is_complete(self) -> bool:
        """Whether its making came to an end. One that failed leaves nothing, this file least of all."""
        return os.path.exists(f"{self.directory}/state.json")

    def save_state(self, state: State) -> None:
        """Write it in one step."""
        textfile.save(f"{self.directory}/state.json", json.dumps(asdict(state)))


def read(path: str, make: Callable[[dict[str, Any]], T]) -> T:
    """A record as it was written. ConfigError where it is none; FileNotFoundError where there is no such file."""
    try:
        return make(json.loads(textfile.read(path)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", "another version of labkit wrote it, or it is damaged; remove it by hand"
        ) from error


def state_from_record(values: dict[str, Any]) -> State:
    """A state as ``asdict`` gives it. TypeError or ValueError where it is none."""
    state = from_json(State, values)
    if state.status not in STATUSES:
        raise ValueError(f"there is no status {state.status!r}")
    _check_moments(state.started_at, state.finished_at)
    return state


def from_record(values: dict[str, Any]) -> Container:
    """A container as ``asdict`` gives it. TypeError, KeyError or ValueError where it is none."""
    ports = [from_json(PortMapping, mapping) for mapping in values["ports"]]
    container = from_json(Container, {**values, "options": from_json(Options, values["options"]), "ports": ports})
    _check_moments(container.created)
    return container


def _check_moments(*moments: float) -> None:
    """ValueError where one is not a number, or no date that a calendar has (localtime(3))."""
    if not all(abs(moment) < 1e11 for moment in moments):
        raise ValueError("a time in it is none")


def creation_journal(container_id: str) -> Journal:
    """What ``rm`` takes back."""
    return Journal(f"{DATA}/journals/{container_id}")


def unmake(container: Container) -> None:
    """Take back its making. From the first step on it counts as one that was never complete, whoever goes on."""
    textfile.remove(f"{container.directory}/state.json")
    creation_journal(container.id).undo()
    eventlog.note("destroy", container)


def run_journal(container_id: str) -> Journal:
    """What ``stop`` takes back."""
    return Journal(f"{RUN}/journals/{container_id}")


def runtime_journal(container_id: str) -> Journal:
    """What the end of its process takes back: groups, and what another runtime has made."""
    return Journal(f"{RUN}/journals/{container_id}.runtime")


def journals_of_run(container_id: str) -> list[Journal]:
    """All that a run consists of, in the order in which it is taken back."""
    return [runtime_journal(container_id), run_journal(container_id)]


def undo_run(container_id: str) -> None:
    """Take back all that a run consists of, the last first."""
    for journal in journals_of_run(container_id):
        journal.undo()


def note_stop(container: Container) -> None:
    """From now on no restart policy starts it again, not even after a boot."""
    textfile.save(container.stop_mark, "")


def is_stopped_by_hand(container: Container) -> bool:
    """Whether somebody wanted it to end."""
    return os.path.exists(container.stop_mark)


def running(container: Container, or_paused: bool = False) -> State:
    """Its state. ConflictError if it is not running, or paused and not asked for with ``or_paused``."""
    state = container.state()
    if state.status == "paused" and not or_paused:
        raise ConflictError(f"the container {container.name} is paused", f"labkit unpause {container.name}")
    if not state.runs:
        raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    return state


def check_name(name: str) -> str:
    """UsageError for what cannot be a container's name (it becomes a file's name and a host's)."""
    if not _is_name(name, 1, 63):
        raise UsageError(
            f"'{name}' is no container name", "up to 63 letters, digits, and _ . - after the first, as --name redis-1"
        )
    return name


def check_volume_name(name: str) -> str:
    """UsageError for what cannot be a volume's name (it becomes a directory's)."""
    if not _is_name(name, 2, 128):
        raise UsageError(f"'{name}' is no volume's name", "2 to 128 letters, digits, and _ . - after the first")
    return name


def _is_name(name: str, least: int, most: int) -> bool:
    """By its length and its letters; ``re`` takes 3 ms to import."""
    possible = least <= len(name) <= most and name.isascii() and name[0].isalnum()
    return possible and name.translate(_PUNCTUATION).isalnum()


def load(container_id: str) -> Container | None:
    """The container of that whole id; None where there is none, or where it is being made or removed."""
    try:
        return read(f"{DATA}/containers/{container_id}/container.json", from_record)
    except (FileNotFoundError, NotADirectoryError):
        return None


def state_of(container_id: str) -> State:
    """What its shim wrote last. FileNotFoundError where its making has not come to an end."""
    return read(f"{DATA}/containers/{container_id}/state.json", state_from_record)


def everything() -> list[Container]:
    """All containers, the oldest first."""
    return sorted(_loaded(""), key=lambda container: container.created)


def find(text: str) -> Container:
    """By name, id or an unambiguous beginning of the id. NotFoundError lists the names there are.

    However many containers there are, one is read: names are links to ids.
    """
    if "/" in text:
        raise _unknown(text)
    named = _named(text)
    if named:
        return named
    found = _loaded(text) if len(text) >= 2 else []
    if len(found) > 1:
        raise ConflictError(
            f"'{text}' is the beginning of {len(found)} containers' ids", "give more of it, or the name"
        )
    # A removal that was cut short, or refused half-way, has freed the name first.
    found = found or [container for container in everything() if container.name == text]
    if not found:
        raise _unknown(text)
    return found[0]


def _loaded(beginning: str) -> list[Container]:
    """Those whose ids begin like that."""
    ids = [name for name in textfile.names(f"{DATA}/containers") if name.startswith(beginning)]
    return [container for container in map(load, ids) if container]


def _named(name: str) -> Container | None:
    try:
        container = load(os.readlink(f"{NAMES}/{name}"))
    except (OSError, ValueError):  # no link of that name, or no name that could be a link's
        return None
    # While it is renamed it has two, and a death in between leaves both.
    return container if container and container.name == name else None


def _unknown(text: str) -> NotFoundError:
    names = ", ".join(container.name for container in everything()) or "none"
    return NotFoundError(f"there is no container '{text}'", f"containers here: {names} (labkit ps -a)")
