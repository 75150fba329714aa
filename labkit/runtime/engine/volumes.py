"""Volumes: directories that outlive the containers that use them.

/var/lib/labkit/volumes/NAME/_data         what a container sees
/var/lib/labkit/volumes/NAME/volume.json   name, labels, when it was made
/var/lib/labkit/volumes/NAME/unfilled      until its first use: then it begins with what the image has at its place

A volume without a name has one made of its container's id, by which its owner is known.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time

from labkit.errors import ConflictError, KernelError, NotFoundError
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import DATA, Container, check_volume_name
from labkit.runtime.kernel import mounts, rootdir
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.operations import GoesAlong, Operation
from labkit.runtime.operations.files import MakeTree
from labkit.runtime.operations.journal import perform
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import asdict, dataclass, field
from labkit.runtime.std.shlex import quote
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile

ROOT = f"{DATA}/volumes"
#: Directories that are being made or removed; whoever holds the lock finds only those of the dead.
_NEW, _GONE = f"{ROOT}/.new", f"{ROOT}/.gone"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Digits of the container's id in the name of a volume without one.
_OWNER = 56
#: In a container's directory: its volumes without names stay when it goes.
_STAY = "volumes-stay"


def data(name: str) -> str:
    """Where its files are."""
    return f"{ROOT}/{name}/_data"


def named(options: Options, volumes_of_image: dict[str, Any] | None, container_id: str) -> list[dict[str, Any]]:
    """The mounts of a new container: those asked for, and the image's volumes; each volume with a name."""
    found = list(options.mounts)
    places = {mount["target"] for mount in found}
    for place in volumes_of_image or {}:
        target = os.path.normpath("/" + place.lstrip("/"))
        if target not in places and target != "/":
            mount = {"type": "volume", "source": "", "target": target, "options": [], "make": False, "fill": True}
            found.append(mount)
    return [
        {**mount, "source": f"{container_id[:_OWNER]}{index:08x}", "anonymous": True}
        if mount["type"] == "volume" and not mount["source"]
        else mount
        for index, mount in enumerate(found)
    ]


def of(container: Container) -> list[dict[str, Any]]:
    """Those of its mounts that are volumes."""
    return [mount for mount in container.options.mounts if mount["type"] == "volume"]


@dataclass(frozen=True)
class MakeVolume(Operation):
    """A volume, if it is not there."""

    name: str
    owner: str = ""
    """The id of the container that wants it; empty for ``labkit volume create``."""
    labels: tuple[str, ...] = ()
    """NAME=VALUE."""

    def describe(self) -> str:
        """As mkdir(1)."""
        return f"mkdir -p {quote(data(self.name))}"

    def do(self) -> None:
        """Make it beside, whole, and rename it. KernelError where the disk is full."""
        with _locked():
            if os.path.isdir(f"{ROOT}/{self.name}"):
                return
            about = {"name": self.name, "created": time.time(), "labels": list(self.labels)}
            with kernel_error(f"the volume {self.name} cannot be made"):
                os.mkdir(_NEW, 0o711)
                os.mkdir(f"{_NEW}/_data", 0o755)
                os.chmod(f"{_NEW}/_data", 0o755)  # noqa: S103 - whatever the umask; as docker's
                textfile.write(f"{_NEW}/volume.json", json.dumps(about))
                textfile.write(f"{_NEW}/unfilled", self.owner)
                os.rename(_NEW, f"{ROOT}/{self.name}")

    def undo(self) -> None:
        """Remove it as long as nobody has used it: its container never came to be."""
        with suppress(OSError):
            if self.owner and textfile.read(f"{ROOT}/{self.name}/unfilled") == self.owner:
                remove(self.name)


@dataclass(frozen=True)
class OwnVolumes(Operation):
    """A container's volumes without names go with it, unless it was said that they stay (``keep``)."""

    owner: str
    directory: str
    """The container's."""

    def describe(self) -> str:
        """Nothing that a shell would do."""
        return ": volumes without names belong to the container, and go with it"

    def describe_undo(self) -> str:
        """As rm(1)."""
        stay = quote(f"{self.directory}/{_STAY}")
        return f"[ -e {stay} ] || rm -rf --one-file-system {quote(ROOT)}/{self.owner[:_OWNER]}????????"

    def do(self) -> None:
        """Nothing."""

    def undo(self) -> None:
        """Remove them."""
        if len(self.owner) != 64 or os.path.exists(f"{self.directory}/{_STAY}"):
            return
        for name in names():
            if len(name) == 64 and name.startswith(self.owner[:_OWNER]):
                remove(name)


@dataclass(frozen=True)
class FillVolume(GoesAlong):
    """At its first use an empty volume begins with what the root file system has at its place, and keeps it."""

    name: str
    rootfs: str
    place: str
    from_image: bool = True

    def describe(self) -> str:
        """As cp(1)."""
        source, target = quote(rootdir.resolve(self.rootfs, self.place)), quote(data(self.name))
        if not self.from_image:
            return f"test -d {target}"
        return f'[ -n "$(ls -A {target})" ] || [ ! -d {source} ] || cp -a {source}/. {target}/'

    def do(self) -> None:
        """Copy beside, and rename; whoever uses it at the same time waits."""
        base = f"{ROOT}/{self.name}"
        with _holding(base):
            if not os.path.exists(f"{base}/unfilled"):
                return
            if self.from_image and not os.listdir(f"{base}/_data"):
                self._copy(base)
            os.unlink(f"{base}/unfilled")

    def _copy(self, base: str) -> None:
        from labkit.runtime.oci.root import copyup  # local: only the first use of a volume copies

        try:
            found = rootdir.find(self.rootfs, self.place)
        except KernelError:
            return  # the image has nothing there
        with kept_open(found) as source:
            about = os.fstat(source)
            if not stat.S_ISDIR(about.st_mode):
                return
            MakeTree(f"{base}/.filling").undo()  # of somebody who died
            os.mkdir(f"{base}/.filling", 0o700)
            with kept_open(os.open(f"{base}/.filling", _DIRECTORY)) as target:
                copyup.copy(source, target, self.place)
                os.fchown(target, about.st_uid, about.st_gid)
                os.fchmod(target, stat.S_IMODE(about.st_mode))
            os.rename(f"{base}/.filling", f"{base}/_data")


def making(container: Container) -> list[Operation]:
    """For the creation of a container: its volumes, and that some go with it."""
    volumes = of(container)
    made: list[Operation] = [MakeVolume(mount["source"], container.id) for mount in volumes]
    if any(mount.get("anonymous") for mount in volumes):
        made.append(OwnVolumes(container.id, container.directory))
    return made


def filling(container: Container) -> list[Operation]:
    """For the start of a container, when its root file system is mounted."""
    return [
        FillVolume(mount["source"], container.rootfs, mount["target"], bool(mount["fill"])) for mount in of(container)
    ]


def keep(container: Container, only_named: bool) -> None:
    """Before ``labkit rm``: volumes with names stay, and without ``-v`` those without, too."""
    for mount in of(container):
        unfilled = f"{ROOT}/{mount['source']}/unfilled"
        if not mount.get("anonymous") and os.path.exists(unfilled):
            textfile.save(unfilled, "")  # it is nobody's any more: ``MakeVolume.undo`` lets it be
    if not only_named and any(mount.get("anonymous") for mount in of(container)):
        textfile.save(stay_mark(container), "")


def stay_mark(container: Container) -> str:
    """The file that says it."""
    return f"{container.directory}/{_STAY}"


def names() -> list[str]:
    """All volumes, in order."""
    return sorted(name for name in textfile.names(ROOT) if not name.startswith("."))


def remove(name: str) -> None:
    """Take it away with its files; no error where there is none. KernelError where something is mounted in it."""
    path = f"{ROOT}/{name}"
    with _locked():
        if not os.path.isdir(path):
            return
        below = [point for point, _ in mounts.mount_points() if point.startswith(f"{path}/")]
        if below:
            raise KernelError(f"{below[0]} is a mount point, so the volume is not removed", f"umount {quote(below[0])}")
        os.rename(path, _GONE)
        MakeTree(_GONE).undo()


def clean_up() -> None:
    """What was being made or removed by somebody who died. For ``labkit gc``."""
    if os.path.isdir(_NEW) or os.path.isdir(_GONE):
        with _locked():
            pass


@contextmanager
def _locked() -> Iterator[None]:
    """Nobody else makes or removes a volume; what the dead were at is taken away first."""
    os.makedirs(ROOT, mode=0o711, exist_ok=True)
    with _holding(ROOT):
        for left in (_NEW, _GONE):
            if os.path.isdir(left):
                MakeTree(left).undo()
        yield


@contextmanager
def _holding(directory: str) -> Iterator[None]:
    """A lock that goes with us (flock(2)), on a directory. KernelError where that is not there."""
    with kernel_error(f"{directory} cannot be opened", "was the volume just removed?"):
        opened = os.open(directory, _DIRECTORY)
    with kept_open(opened):
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


# What is done to volumes by hand (labkit volume).


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
        return {**asdict(self), "mountpoint": data(self.name)}


def create(name: str, labels: list[str]) -> str:
    """Make it, if it is not there, as docker does; its name, a random one for none. UsageError for a bad name."""
    name = check_volume_name(name) if name else os.urandom(32).hex()
    perform(MakeVolume(name, labels=tuple(labels)), "host")
    return name


def everything() -> list[Volume]:
    """All, by name."""
    users = _users()
    return [_load(name, users) for name in names()]


def find(name: str) -> Volume:
    """NotFoundError where there is none."""
    check_volume_name(name)
    if not os.path.isdir(data(name)):
        raise NotFoundError(f"there is no volume {name}", "see 'labkit volume ls'")
    return _load(name, _users())


def to_remove(wanted: list[str], force: bool) -> list[Volume]:
    """All of them are looked at before one is removed. NotFoundError (not with ``force``), ConflictError if in use."""
    found = [find(name) for name in wanted if not force or os.path.isdir(data(check_volume_name(name)))]
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
            size = size_of(data(volume.name))
            remove(volume.name)
            removed.append((volume, size))
    return removed


def _users() -> dict[str, list[str]]:
    """Volume -> the containers that have it."""
    found: dict[str, list[str]] = {}
    for container in record.everything():
        for mount in of(container):
            found.setdefault(mount["source"], []).append(container.name)
    return found


def _load(name: str, users: dict[str, list[str]]) -> Volume:
    about = {}
    with suppress(OSError, ValueError):  # somebody made or changed it by hand: its files are what counts
        about = json.loads(textfile.read(f"{ROOT}/{name}/volume.json"))
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
