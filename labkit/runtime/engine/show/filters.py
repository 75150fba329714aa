"""``labkit ps --filter``: which containers are meant."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.std.collections.abc import Callable, Sequence
from labkit.runtime.std.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Wanted = dict[str, list[str]]


def parse(words: list[str]) -> Wanted:
    """``KEY=VALUE`` each: one of a key's values must fit, and each key.

    UsageError for an unknown key or status, NotFoundError where a container is named that is not there.
    """
    wanted = pairs(words, sorted([*_RECORD, *_STATE]))
    for value in wanted.get("status", ()):
        if value not in record.STATUSES:
            raise UsageError(f"there is no status '{value}'", f"one of {', '.join(record.STATUSES)}")
    for value in wanted.get("exited", ()):
        if not (value.isascii() and value.isdigit()):
            raise UsageError(f"--filter 'exited={value}': an exit status is a number", "as exited=0")
    for key in {"before", "since"} & set(wanted):
        wanted[key] = [record.find(value).id for value in wanted[key]]
    return wanted


def pairs(words: list[str], known: Sequence[str]) -> Wanted:
    """Key -> the values that were given. UsageError for an unknown key."""
    wanted: Wanted = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in known:
            raise UsageError(f"--filter '{word}' is not understood", f"KEY=VALUE; the keys are {', '.join(known)}")
        wanted.setdefault(key, []).append(value)
    return wanted


def fits(wanted: Wanted, container: Container) -> bool:
    """By its record alone."""
    return all(any(_RECORD[key](container, value) for value in wanted[key]) for key in wanted if key in _RECORD)


def state_fits(wanted: Wanted, state: State) -> bool:
    """By its state."""
    return all(any(_STATE[key](state, value) for value in wanted[key]) for key in wanted if key in _STATE)


def has_label(labels: dict[str, str], value: str) -> bool:
    """``NAME`` or ``NAME=VALUE``."""
    name, equals, text = value.partition("=")
    return name in labels and (not equals or labels[name] == text)


def _publish(container: Container, value: str) -> bool:
    """``8080`` or ``8080/tcp``: a port of the host's."""
    port, _, protocol = value.partition("/")
    wanted = (port, protocol or "tcp")
    return any((str(mapping.host_port), mapping.protocol) == wanted for mapping in container.ports)


def _ancestor(container: Container, value: str) -> bool:
    return container.image in (value, f"{value}:latest") or (len(value) > 5 and container.image_id.startswith(value))


def _volume(container: Container, value: str) -> bool:
    """A volume's name or a directory, out here or in there."""
    return any(value in (mount.get("source"), mount.get("target")) for mount in _mounts(container))


def sources(container: Container) -> list[str]:
    """The volumes and directories that are mounted in it."""
    return [str(mount["source"]) for mount in _mounts(container) if mount.get("source")]


def _mounts(container: Container) -> list[dict[str, Any]]:
    # Its record is a file, which may be damaged.
    return [mount for mount in container.options.mounts if isinstance(mount, dict)]


_RECORD: dict[str, Callable[[Container, str], bool]] = {
    "id": lambda container, value: container.id.startswith(value),
    "name": lambda container, value: value in container.name,
    "label": lambda container, value: has_label(container.options.labels, value),
    "ancestor": _ancestor,
    "network": lambda container, value: value in (container.network, *container.endpoints),
    "volume": _volume,
    "publish": _publish,
    "before": lambda container, value: container.created < record.find(value).created,
    "since": lambda container, value: container.created > record.find(value).created,
}
_STATE: dict[str, Callable[[State, str], bool]] = {
    "status": lambda state, value: state.status == value,
    "exited": lambda state, value: state.status == "exited" and state.exit_code == int(value),
}
