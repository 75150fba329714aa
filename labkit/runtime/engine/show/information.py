"""``labkit info`` and ``labkit version``: what this machine is and can do, as far as containers are concerned."""

from __future__ import annotations

import os
import platform

from labkit import __version__
from labkit.errors import MissingToolError
from labkit.runtime import storage
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.config import runtimes
from labkit.runtime.engine.record import record
from labkit.runtime.engine.shim import logoptions
from labkit.runtime.engine.show import stats
from labkit.runtime.images import imagestore
from labkit.runtime.kernel import mounts, seccomp
from labkit.runtime.network import definitions, iptables
from labkit.runtime.oci.state import OCI_VERSION
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile


def version() -> dict[str, Any]:
    """labkit's and its neighbours' versions."""
    return {
        "labkit": __version__,
        "oci_specification": OCI_VERSION,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def information() -> dict[str, Any]:
    """All that ``labkit info`` shows. It changes nothing."""
    states = [container.state().status for container in record.everything()]
    return {
        **version(),
        "containers": {kind: states.count(kind) for kind in ("running", "paused", "restarting", "created", "exited")},
        "images": len(imagestore.everything()),
        "networks": [network.name for network in definitions.everything()],
        "storage_drivers": [name for name in storage.DRIVERS if mounts.has_filesystem(name)],
        "logs": logoptions.shown(),
        "cgroups": {"version": here().mode, "controllers": _controllers()},
        "namespaces": sorted(name for name in os.listdir("/proc/self/ns") if not name.endswith("_for_children")),
        "runtimes": {runtimes.OWN: "built in", **{name: _found(runtimes.path_of, name) for name in runtimes.OTHERS}},
        "seccomp": seccomp.has_flag(seccomp.FLAG_LOG),
        "iptables": _found(iptables.choose),
        "processors": os.cpu_count(),
        "memory_bytes": stats.memory_of_machine(),
        "data": record.DATA,
    }


def _controllers() -> list[str]:
    found = {name for name in here().v1 if "=" not in name}
    if here().v2:
        found |= set(textfile.read(f"{here().v2}/cgroup.controllers").split())
    return sorted(found)


def _found(look: Callable[..., str], *words: str) -> str:
    """What it says of a program; empty where that is not installed."""
    try:
        return look(*words)
    except MissingToolError:
        return ""
