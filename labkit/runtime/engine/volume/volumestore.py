"""``labkit volume``: what is done to volumes by hand. Where they lie and how they are made: volumes.py."""

from __future__ import annotations

import os

from labkit.errors import ConflictError, NotFoundError
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.mountflags import check_volume_name
from labkit.runtime.engine.volume import volumes
from labkit.runtime.operations.journal import perform
from labkit.runtime.std import json
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict, dataclass, field
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class Volume:
    """What is known of one."""

    name: str
    created: float
    """Seconds since 1970."""
    labels: list[str] = field(default_factory=list)
    """NAME=VALUE."""
    users: list[str] = field(default_factory=list)
    """The names of the containers that have it, running or not."""
    anonymous: bool = False
    """It was made for one container, without a name."""

    def shown(self) -> dict[str, Any]:
        """For programs; ``mountpoint`` is where its files are."""
        return {**asdict(self), "mountpoint": volumes.data(self.name)}


def create(name: str, labels: list[str]) -> str:
    """Make it, if it is not there, as docker does; its name, a random one for none. UsageError for a bad name."""
    name = check_volume_name(name) if name else os.urandom(32).hex()
    perform(volumes.MakeVolume(name, labels=tuple(labels)), "host")
    return name


def everything() -> list[Volume]:
    """All, by name."""
    users = _users()
    return [_load(name, users) for name in volumes.names()]


def find(name: str) -> Volume:
    """NotFoundError where there is none."""
    check_volume_name(name)
    if not volumes.is_there(name):
        raise NotFoundError(f"there is no volume {name}", "see 'labkit volume ls'")
    return _load(name, _users())


def to_remove(names: list[str], force: bool) -> list[Volume]:
    """All of them are looked at before one is removed. NotFoundError (not with ``force``), ConflictError if in use."""
    found = [find(name) for name in names if not force or volumes.is_there(check_volume_name(name))]
    for volume in found:
        if volume.users:
            raise ConflictError(
                f"the volume {volume.name} is in use by {', '.join(volume.users)}", "remove the container first"
            )
    return found


def prune(with_named: bool) -> list[tuple[Volume, int]]:
    """Remove those that no container has: the ones without a name, or all; each with the bytes that it held."""
    removed = []
    for volume in everything():
        if not volume.users and (with_named or volume.anonymous):
            size = size_of(volumes.data(volume.name))
            volumes.remove(volume.name)
            removed.append((volume, size))
    return removed


def _users() -> dict[str, list[str]]:
    """Volume -> the containers that have it."""
    found: dict[str, list[str]] = {}
    for container in record.everything():
        for mount in volumes.of(container):
            found.setdefault(mount["source"], []).append(container.name)
    return found


def _load(name: str, users: dict[str, list[str]]) -> Volume:
    about = {}
    with suppress(OSError, ValueError):  # somebody made or changed it by hand: its files are what counts
        about = json.loads(textfile.read(f"{volumes.ROOT}/{name}/volume.json"))
    return Volume(
        name=name,
        created=float(about.get("created", 0)),
        labels=list(about.get("labels", [])),
        users=users.get(name, []),
        anonymous=len(name) == 64 and not name.strip("0123456789abcdef"),
    )


def size_of(directory: str) -> int:
    """Bytes on the disk of all that is in it, a file with several names once; what goes meanwhile does not count."""
    sizes = {}
    for place, _, files in os.walk(directory):
        for name in files:
            with suppress(FileNotFoundError):
                about = os.lstat(f"{place}/{name}")
                sizes[about.st_dev, about.st_ino] = about.st_blocks * 512
    return sum(sizes.values())
