"""From what a user asks for to a specification (config.json), as dockerd's createSpec does."""

from __future__ import annotations

import os
import sys

from labkit.errors import UsageError
from labkit.runtime import storage
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.engine.config import filesystems, rights, sharednamespaces, users
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record.options import Options, set_variable
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std.typing import Any

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command_of(image: Image, options: Options) -> list[str]:
    """The entry point, then the command given, or else the image's; UsageError if both are empty.

    An entry point of one's own makes the image's command meaningless, as with docker.
    """
    own = options.entrypoint is not None
    entrypoint = options.entrypoint if own else image.config.get("Entrypoint")
    default = None if own else image.config.get("Cmd")
    command = [*(entrypoint or []), *(options.command or default or [])]
    if not command:
        raise UsageError(f"the image {image.reference} names no program", "give one after the image's name")
    return command


def environment_of(image: Image, options: Options, hostname: str, home: str = "/root") -> list[str]:
    """PATH, HOSTNAME and HOME, the image's, then those given; a later one wins."""
    first = [_PATH, f"HOSTNAME={hostname}", *(["TERM=xterm"] if options.tty else []), f"HOME={home}"]
    variables = dict(entry.partition("=")[::2] for entry in [*first, *(image.config.get("Env") or [])])
    for entry in options.env:
        set_variable(variables, entry)
    return [f"{name}={value}" for name, value in variables.items()]


def specification(container: Container, image: Image, hierarchies: Hierarchies) -> dict[str, Any]:
    """The config.json of a container; what it joins must be there by now.

    Where its root file system is mounted, users are looked up in that, and otherwise in the image's layers.
    """
    options = container.options
    filtered = group.filters_devices(hierarchies)
    nodes, rules = _devices(options, filtered)
    mounts = filesystems.mounts(container)
    propagation = filesystems.propagation(mounts)
    masked, readonly = rights.hidden(options)
    granted = rights.granted(options, filtered)
    filter_ = rights.seccomp(options, granted, _has_seccomp(options))
    linux = {
        "namespaces": _namespaces(container),
        "cgroupsPath": container.cgroups_path,
        "resources": {**options.resources, "devices": rules},
        "maskedPaths": masked,
        "readonlyPaths": readonly,
        **sharednamespaces.mappings(options),
    }
    more = {"devices": nodes, "sysctl": options.sysctls, "seccomp": filter_, "rootfsPropagation": propagation}
    linux |= {name: value for name, value in more.items() if value}
    return {
        "ociVersion": "1.0.2",
        "process": _process(container, image, granted),
        "root": {"path": container.rootfs, "readonly": options.read_only},
        **({"hostname": networking.host_name(container)} if options.uts != "host" else {}),
        "mounts": mounts,
        "linux": linux,
    }


def _devices(options: Options, filtered: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not (options.privileged or options.devices or options.device_rules):
        return [], [{"allow": not filtered, "access": "rwm"}]
    from labkit.runtime.engine.config import deviceoptions  # local: most have none

    return deviceoptions.of(options, filtered)


def _process(container: Container, image: Image, granted: list[str]) -> dict[str, Any]:
    options = container.options
    roots = [container.rootfs] if os.path.isdir(container.rootfs) else image.lowers()
    user = users.find(roots, options.user or image.config.get("User") or "", options.groups)
    process: dict[str, Any] = {
        "terminal": options.tty,
        "args": [filesystems.INIT, "--", *container.command] if options.init else container.command,
        "env": environment_of(image, options, networking.host_name(container), user.home),
        "cwd": options.workdir or image.config.get("WorkingDir") or "/",
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.groups},
        # As execve(2) does it: root has what is in the bounding set, and nobody else has anything.
        "capabilities": {"bounding": granted, **dict.fromkeys(("effective", "permitted"), [] if user.uid else granted)},
        "noNewPrivileges": "no-new-privileges" in options.security,
    }
    if options.ulimits:
        process["rlimits"] = [_rlimit(text) for text in options.ulimits]
    if options.oom_score_adj is not None:
        process["oomScoreAdj"] = options.oom_score_adj
    return process


def _rlimit(text: str) -> dict[str, Any]:
    name, _, numbers = text.partition("=")
    soft, _, hard = numbers.partition(":")
    return {"type": name, "soft": int(soft), "hard": int(hard)}


def _namespaces(container: Container) -> list[dict[str, str]]:
    network = networking.namespace_path(container)
    if network is None:
        return sharednamespaces.namespaces(container.options)
    joined = {"type": "network", **({"path": network} if network else {})}
    return [*sharednamespaces.namespaces(container.options), joined]


def _has_seccomp(options: Options) -> bool:
    """Whether the default filter can be had; if not, that is said. Other runtimes bring their own library."""
    if options.runtime not in ("", "labkit-oci"):
        return True
    from labkit.runtime.oci import filtercache  # local: it brings ctypes

    if filtercache.has_library():
        return True
    if not options.privileged and "seccomp=unconfined" not in options.security and not options.seccomp:
        print("labkit: no filter of system calls is set, since libseccomp is not installed", file=sys.stderr)
    return False


def check_storage_driver(name: str) -> str:
    """UsageError for a storage driver that there is not."""
    if name and name not in storage.DRIVERS:
        raise UsageError(f"there is no storage driver '{name}'", f"one of {', '.join(storage.DRIVERS)}")
    return name
