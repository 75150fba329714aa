"""What is mounted in a container: the file systems that every one has, those asked for, and the files that name it."""

from __future__ import annotations

import os

from labkit.errors import NotFoundError
from labkit.runtime.engine.config import sharednamespaces
from labkit.runtime.engine.record.record import Container
from labkit.runtime.oci import defaults
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import MakeDirectory
from labkit.runtime.std.typing import Any

INIT = "/sbin/docker-init"
"""Where a container sees the program of ``--init``; docker has it there, too."""


def mounts(container: Container) -> list[dict[str, Any]]:
    """``mounts`` of the specification, what lies deeper later. What is asked for replaces what is there by default."""
    options = container.options
    asked = [_asked(mount) for mount in options.mounts]
    if options.init:
        asked.append(_bind(sharednamespaces.init_program(), INIT, "ro"))
    places = {mount["destination"] for mount in asked}
    given = [*_defaults(container), *_name_files(container)]
    found = [mount for mount in given if mount["destination"] not in places]
    # A stable sort: of two places at the same depth the first stays the first.
    return found + sorted(asked, key=lambda mount: mount["destination"].count("/"))


def propagation(mounts_: list[dict[str, Any]]) -> str:
    """``linux.rootfsPropagation``: mounts that travel need a root that lets them (mount_namespaces(7))."""
    words = {word for mount in mounts_ for word in mount["options"]}
    if words & {"shared", "rshared"}:
        return "rshared"
    return "rslave" if words & {"slave", "rslave"} else ""


def operations(container: Container) -> list[Operation]:
    """What must be there out here before the container is made. NotFoundError for a source that is not."""
    made: list[Operation] = sharednamespaces.operations(container)
    if container.options.mounts:
        from labkit.runtime.engine import volumes  # local, as below: most containers have none

        made += volumes.filling(container)
    for mount in container.options.mounts:
        if mount["type"] == "bind" and not os.path.exists(mount["source"]):
            if not mount["make"]:
                raise NotFoundError(
                    f"there is no {mount['source']} to be mounted on {mount['target']}",
                    "make it first, or use -v, which makes a directory",
                )
            made.append(MakeDirectory(mount["source"]))
    return made


def seen_from_outside(container: Container) -> list[Operation]:
    """For the root file system of one that does not run: its volumes, what is bound, and the files that name it.

    Without what is mounted below a source: an umount of that would travel to the source itself.
    """
    from labkit.runtime.oci.root.mounting import (  # local, as above: only ``labkit cp`` needs it
        BindInside,
        RemountInside,
    )

    found = [mount for mount in mounts(container) if os.path.isabs(mount["source"]) and _is_ours(mount)]
    made: list[Operation] = []
    for mount in found:
        read_only = [word for word in mount["options"] if word == "ro"]
        options = ("bind", "private", *read_only)
        made.append(BindInside(container.rootfs, mount["destination"], mount["source"], options))
    if container.options.read_only:
        made.append(RemountInside(container.rootfs, "/", ("ro",)))
    return made


def _is_ours(mount: dict[str, Any]) -> bool:
    """Whether it shows files of the host's as they lie there."""
    kernels = any(f"{mount['destination']}/".startswith(place) for place in ("/proc/", "/sys/", "/dev/"))
    return bool({"bind", "rbind"} & {*mount["options"]}) and not kernels and os.path.exists(mount["source"])


def _asked(mount: dict[str, Any]) -> dict[str, Any]:
    options = mount["options"]
    if mount["type"] == "tmpfs":
        # Neither kind is hindered by what docker's words leave out: nosuid and nodev are for both.
        words = options if "nosuid" in options or "suid" in options else ["nosuid", "nodev", "noexec", *options]
        return {"destination": mount["target"], "type": "tmpfs", "source": "tmpfs", "options": words}
    source = mount["source"]
    if mount["type"] == "volume":
        from labkit.runtime.engine import volumes  # local: most containers have none

        source = volumes.data(source)
    words = [word for word in options if word != "norecursive"]
    if not {"private", "rprivate", "shared", "rshared", "slave", "rslave"} & {*words}:
        words.append("rprivate")
    return _bind(source, mount["target"], *words, recursive="norecursive" not in options)


def _bind(source: str, target: str, *words: str, recursive: bool = True) -> dict[str, Any]:
    options = ["rbind" if recursive else "bind", *words]
    return {"destination": target, "type": "bind", "source": source, "options": options}


def _defaults(container: Container) -> list[dict[str, Any]]:
    """labkit.runtime.oci's list, as the options change it."""
    options = container.options
    found = []
    for mount in defaults.mounts():
        place = mount["destination"]
        if place == "/dev/shm":  # noqa: S108 - the container's
            source = sharednamespaces.shared_memory(options)
            if options.ipc == "shareable":
                source = sharednamespaces.own_shared_memory(container)
            if source is None:
                continue
            # The flags that the source has are named, since crun 1.8 takes off those that are not.
            quiet = ("nosuid", "nodev") if source == place else ("nosuid", "noexec", "nodev")
            mount = _bind(source, place, *quiet, "rprivate") if source else _with_size(mount, options.shm_size)
        elif place == "/dev/mqueue" and options.ipc == "none":
            continue
        elif place == "/dev/mqueue" and options.ipc == "host" and os.path.isdir(place):
            mount = _bind(place, place, "nosuid", "noexec", "nodev", "rprivate")
        elif place in ("/sys", "/sys/fs/cgroup"):
            if place == "/sys" and not sharednamespaces.sees_sysfs(options):
                mount = _bind("/sys", place, "nosuid", "noexec", "nodev", "ro", "rprivate")
            elif options.privileged:
                mount = {**mount, "options": [word if word != "ro" else "rw" for word in mount["options"]]}
        found.append(mount)
    return found


def _with_size(mount: dict[str, Any], size: int) -> dict[str, Any]:
    words = [f"size={size}" if word.startswith("size=") else word for word in mount["options"]]
    return {**mount, "options": words}


def _name_files(container: Container) -> list[dict[str, Any]]:
    if container.network == "host":
        return []
    return [
        _bind(f"{container.directory}/{name}", f"/etc/{name}", "rprivate", recursive=False)
        for name in ("hostname", "hosts", "resolv.conf")
    ]
