"""The config.json to begin with, as runc writes it."""

from __future__ import annotations

import os

from labkit.errors import ConflictError, KernelError
from labkit.runtime.cgroups.detect import here
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci.state import OCI_VERSION
from labkit.runtime.std.typing import Any
from labkit.runtime.text.document import go_json

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
#: What runc masks; it is a part of labkit's own list (oci/defaults.py).
_MASKED = ["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"]


@verb(
    "",
    Option(("bundle", "b"), "write it there (default: here)", "DIRECTORY", ""),
    Option(("rootless",), "for a user who is not root: with a user namespace, without what such a one cannot do"),
    least=0,
    most=0,
    examples=("spec", "spec --rootless --bundle /srv/redis"),
)
def spec(call: Invocation) -> int:
    """Write a config.json to begin with: a shell in a container with the usual limits of its rights."""
    path = os.path.join(call.options.bundle or ".", "config.json")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(go_json(document(call.options.rootless), "\t"))
    except FileExistsError:
        raise ConflictError("File config.json exists. Remove it first", f"{path} is not overwritten") from None
    except OSError as error:
        raise KernelError(f"open {path}: {(error.strerror or '').lower()}", "see --bundle", error.errno or 0) from None
    return 0


def document(rootless: bool = False) -> dict[str, Any]:
    """The configuration."""
    from labkit.runtime.oci import defaults

    mounts = defaults.mounts()
    kinds = ["pid", "network", "ipc", "uts", "mount"]
    linux: dict[str, Any] = {"resources": {"devices": [{"allow": False, "access": "rwm"}]}}
    if rootless:
        kinds = ["pid", "ipc", "uts", "mount", "user"]
        users, groups = os.geteuid(), os.getegid()
        linux = {
            "uidMappings": [{"containerID": 0, "hostID": users, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": groups, "size": 1}],
        }
        mounts = [_rootless(mount) for mount in mounts]
    # runc asks for one on v2 only, where it keeps the groups of others out of sight; v1's trees show them anyway.
    kinds += ["cgroup"] if here().mode == "v2" else []
    linux["namespaces"] = [{"type": kind} for kind in kinds]
    linux["maskedPaths"] = [f"/proc/{name}" for name in _MASKED] + ["/sys/firmware"]
    linux["readonlyPaths"] = defaults.READONLY_PATHS
    sets = dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES)
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": sets,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "labkit",
        "mounts": mounts,
        "linux": linux,
    }


def _rootless(mount: dict[str, Any]) -> dict[str, Any]:
    """Without a network namespace of its own a sysfs cannot be mounted; without a mapping of it no group be given."""
    if mount["type"] == "sysfs":
        return {**mount, "type": "none", "source": "/sys", "options": ["rbind", *mount["options"]]}
    return {**mount, "options": [option for option in mount["options"] if not option.startswith("gid=")]}
