"""What the kernel says of a container's first process: for the comparison of two that should be the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

#: Each runtime has its own words for the mode and the size of the tmpfs on top of v1's controllers.
_OWN_WAY = ("/sys/fs/cgroup",)
#: Devices that a runtime allows without being asked: runc 1.1 /dev/net/tun, crun 1.8 /dev/console.
_GIFTS = {"c 10:200 rwm", "c 5:1 rwm"}


def _limits(container_id: str) -> dict[str, str]:
    """The container's cgroup files that say what it may have. Those that a runtime has no part in are not there."""
    names = (
        *("memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.max", "cpu.shares"),
        *("cpu.weight", "pids.max", "devices.list"),
    )
    found = {}
    for path in Path("/sys/fs/cgroup").rglob(f"labkit/{container_id}/*"):
        if path.name in names:
            # v1's list of allowed devices has no order of its own.
            found[path.name] = "\n".join(sorted({*path.read_text().splitlines()} - _GIFTS))
    return found


def _mounts(pid: int) -> dict[str, tuple[str, list[str], list[str]]]:
    """Place -> file system, the mount's options, and whether what happens there travels."""
    found = {}
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        dash = fields.index("-")
        if not fields[4].startswith(_OWN_WAY):
            travels = [word.partition(":")[0] for word in fields[6:dash]]
            # The root is a slave of the host's where runc and labkit make it, and private where crun does: the
            # specification has no word for it where no rootfsPropagation is given.
            travels = travels if fields[4] != "/" else []
            found[fields[4]] = (fields[dash + 1], sorted(fields[5].split(",")), travels)
        if fields[4].startswith("/proc/"):
            # What is hidden has /dev/null on it, or an empty file system (each has one of its own); crun forgets nodev
            # and the like where it makes a part of /proc read-only.
            hidden = fields[dash + 1] != "proc"
            found[fields[4]] = ("hidden", [], []) if hidden else ("proc", ["ro"] if "ro" in fields[5] else [], [])
    return found


def of(pid: int, container_id: str) -> dict[str, Any]:
    """Everything that is compared; the keys are for people."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    kinds = ("pid", "mnt", "uts", "ipc", "net", "cgroup", "user")
    wanted = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {
        "namespaces of its own": [
            kind for kind in kinds if os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
        ],
        "status": {key: status[key] for key in wanted},
        "mounts": _mounts(pid),
        "cgroup": _limits(container_id),
        "files": next(line.split()[3:5] for line in limits if line.startswith("Max open files")),
        "arguments": Path(f"/proc/{pid}/cmdline").read_bytes(),
        "variables": sorted(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")),
        "oom": Path(f"/proc/{pid}/oom_score_adj").read_text(),
    }
