"""From what a user asks for to a specification (config.json), as dockerd's createSpec does."""

from __future__ import annotations

import os

from labkit.cgroups import group
from labkit.cgroups.detect import Hierarchies
from labkit.engine.record import Container
from labkit.errors import UsageError
from labkit.images.store import Image
from labkit.network.model import DEFAULT, Sandbox
from labkit.network.portmap import PortMapping
from labkit.oci import defaults
from labkit.storage import DRIVERS
from labkit.value import TYPE_CHECKING, Value, field

if TYPE_CHECKING:
    from typing import Any

NETWORKS = ("bridge", "host", "none")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Options(Value):
    """What ``labkit run`` was asked for, checked."""

    image: str
    command: list[str] = field(default_factory=list)
    name: str = ""
    ports: list[PortMapping] = field(default_factory=list)
    env: list[str] = field(default_factory=list)
    network: str = "bridge"
    resources: dict[str, Any] = field(default_factory=dict)
    """Limits, in the specification's form."""
    auto_remove: bool = False
    detach: bool = False
    interactive: bool = False
    storage_driver: str = ""
    """The first that the kernel has, where none is named."""


def command_of(image: Image, options: Options) -> list[str]:
    """The image's entry point, then the command given, or else the image's. UsageError if both are empty."""
    user = image.config.get("User") or "root"
    if user not in ("root", "0", "0:0", "root:root"):
        raise UsageError(f"the image {image.reference} runs as the user {user}, which labkit cannot do yet")
    entrypoint = image.config.get("Entrypoint") or []
    command = [*entrypoint, *(options.command or image.config.get("Cmd") or [])]
    if not command:
        raise UsageError(f"the image {image.reference} names no program", "give one after the image's name")
    return command


def environment_of(image: Image, options: Options, hostname: str) -> list[str]:
    """PATH and HOSTNAME, the image's, then those given; a later one wins."""
    variables: dict[str, str] = {}
    for entry in [_PATH, f"HOSTNAME={hostname}", "HOME=/root", *(image.config.get("Env") or []), *options.env]:
        name, _, value = entry.partition("=")
        variables[name] = value
    return [f"{name}={value}" for name, value in variables.items()]


def sandbox_of(container: Container) -> Sandbox:
    """The container's own network namespace, by the name that ``ip netns list`` shows."""
    return Sandbox(f"labkit-{container.short_id}")


def specification(container: Container, image: Image, options: Options, hierarchies: Hierarchies) -> dict[str, Any]:
    """The config.json of a container. Namespaces are new ones, except the network's, which is joined by its path.

    Devices are filtered. Where the machine's cgroups cannot do that, nobody in the container may make any.
    """
    filtered = group.filters_devices(hierarchies)
    granted = [name for name in defaults.CAPABILITIES if filtered or name != "CAP_MKNOD"]
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), granted)
    # All devices, or none but those that every container has.
    resources = {**options.resources, "devices": [{"allow": not filtered, "access": "rwm"}]}
    namespaces: list[dict[str, str]] = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")]
    if options.network != "host":
        namespaces.append({"type": "network", "path": sandbox_of(container).path})
    return {
        "ociVersion": "1.2.0",
        "process": {
            "args": container.command,
            "env": environment_of(image, options, container.short_id),
            "cwd": image.config.get("WorkingDir") or "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": capabilities,
        },
        "root": {"path": container.rootfs},
        "hostname": container.short_id,
        "mounts": defaults.mounts() + _name_files(container, options),
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": container.cgroups_path,
            "resources": resources,
            "maskedPaths": defaults.MASKED_PATHS,
            "readonlyPaths": defaults.READONLY_PATHS,
        },
    }


def _name_files(container: Container, options: Options) -> list[dict[str, Any]]:
    if options.network == "host":
        return []
    return [
        {
            "destination": f"/etc/{name}",
            "type": "bind",
            "source": f"{container.directory}/{name}",
            "options": ["bind", "rprivate"],
        }
        for name in ("hostname", "hosts", "resolv.conf")
    ]


def name_files(container: Container, resolver: str) -> dict[str, str]:
    """The contents of /etc/hostname, /etc/hosts and /etc/resolv.conf; ``resolver`` is the host's own resolv.conf."""
    own = f"{container.address}\t{container.short_id} {container.name}\n" if container.address else ""
    return {
        "hostname": f"{container.short_id}\n",
        "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{own}",
        "resolv.conf": resolver,
    }


def environment_entries(entries: list[str]) -> list[str]:
    """``-e`` as docker reads it: NAME=VALUE, or NAME alone for our own value of it, nothing where we have none."""
    found = []
    for entry in entries:
        name, given, _ = entry.partition("=")
        if not name or "\0" in entry:
            raise UsageError(f"-e '{entry}' names no variable", "write NAME=VALUE")
        if given:
            found.append(entry)
        elif name in os.environ:
            found.append(f"{name}={os.environ[name]}")
    return found


def check_network(name: str) -> str:
    """UsageError for a network mode that there is not."""
    if name not in NETWORKS:
        raise UsageError(f"there is no network '{name}'", f"one of {', '.join(NETWORKS)}; bridge is {DEFAULT.name}")
    return name


def check_storage_driver(name: str) -> str:
    """UsageError for a storage driver that there is not."""
    if name and name not in DRIVERS:
        raise UsageError(f"there is no storage driver '{name}'", f"one of {', '.join(DRIVERS)}")
    return name
