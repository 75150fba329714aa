"""The engine only speaks the specification: labkit-oci, runc and crun make the same container of it.

Compared is what the kernel says of the container's first process, not what a runtime says.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import properties
import pytest
from conftest import labkit

from labkit.runtime.cgroups import limits

pytestmark = pytest.mark.root

_SHARES = 512
#: What runtimes made of that on v2 before 2025, by a straight line (limits.weight).
_STRAIGHT = str(1 + (_SHARES - 2) * 9999 // 262142)

CASES = {
    "limits": ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpu-shares", str(_SHARES)),
    "rights": ("--cap-drop", "ALL", "--cap-add", "NET_RAW", "--security-opt", "no-new-privileges", "--user", "1000:7"),
    "files": ("-v", "data:/data:ro", "--tmpfs", "/scratch:size=1m", "--read-only", "--shm-size", "2m"),
    "open": ("--security-opt", "seccomp=unconfined", "--ulimit", "nofile=100:200", "--pid", "host", "--ipc", "host"),
}


def _made_by(runtime: str, flags: tuple[str, ...]) -> dict[str, Any]:
    command = ("--network", "none", "--hostname", "box", "--name", "compared", *flags, "busybox", "sleep", "100")
    labkit("run", "-d", "--runtime", runtime, *command)
    try:
        (known,) = json.loads(labkit("inspect", "compared").stdout)
        return properties.of(known["state"]["pid"], known["id"])
    finally:
        labkit("rm", "-f", "-v", "compared")
        labkit("volume", "rm", "-f", "data")


def _needs(runtime: str) -> None:
    if not shutil.which(runtime):
        pytest.skip(f"{runtime} is not installed")
    tried = labkit("run", "--rm", "--network", "none", "--runtime", runtime, "busybox", "true", check=False)
    if tried.returncode and "cgroups in hybrid mode not supported" in tried.stderr:
        pytest.skip(f"{runtime} refuses this machine's groups: {tried.stderr.strip()}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_it_is_the_same_container(runtime: str, case: str) -> None:
    _needs(runtime)
    ours, theirs = _made_by("labkit-oci", CASES[case]), _made_by(runtime, CASES[case])
    if theirs["cgroup"].get("cpu.weight") == _STRAIGHT:
        theirs["cgroup"]["cpu.weight"] = str(limits.weight(_SHARES))
    for name, value in ours.items():
        assert theirs[name] == value, f"{name}, made by {runtime}"
