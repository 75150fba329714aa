"""From what a user asks for to a specification (config.json), as dockerd's createSpec does."""

from __future__ import annotations

import os

from labkit.cgroups import group
from labkit.cgroups.detect import Hierarchies
from labkit.engine import networking
from labkit.engine.options import Options
from labkit.engine.record import Container
from labkit.errors import UsageError
from labkit.images.store import Image
from labkit.oci import defaults
from labkit.storage import DRIVERS
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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


def specification(container: Container, image: Image, hierarchies: Hierarchies) -> dict[str, Any]:
    """The config.json of a container. Namespaces are new ones, except the network's, which is joined by its path.

    Devices are filtered. Where the machine's cgroups cannot do that, nobody in the container may make any.
    """
    options = container.options
    filtered = group.filters_devices(hierarchies)
    granted = [name for name in defaults.CAPABILITIES if filtered or name != "CAP_MKNOD"]
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), granted)
    # All devices, or none but those that every container has.
    resources = {**options.resources, "devices": [{"allow": not filtered, "access": "rwm"}]}
    namespaces: list[dict[str, str]] = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")]
    network = networking.namespace_path(container)
    if network is not None:
        namespaces.append({"type": "network", "path": network} if network else {"type": "network"})
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": container.command,
            "env": environment_of(image, options, networking.host_name(container)),
            "cwd": image.config.get("WorkingDir") or "/",
            "user": {"uid": 0, "gid": 0},
            "terminal": options.tty,
            "capabilities": capabilities,
        },
        "root": {"path": container.rootfs},
        "hostname": networking.host_name(container),
        "mounts": defaults.mounts() + _name_files(container),
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": container.cgroups_path,
            "resources": resources,
            "maskedPaths": defaults.MASKED_PATHS,
            "readonlyPaths": defaults.READONLY_PATHS,
        },
    }


def _name_files(container: Container) -> list[dict[str, Any]]:
    if container.network == "host":
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


def check_storage_driver(name: str) -> str:
    """UsageError for a storage driver that there is not."""
    if name and name not in DRIVERS:
        raise UsageError(f"there is no storage driver '{name}'", f"one of {', '.join(DRIVERS)}")
    return name
