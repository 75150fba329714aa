"""``labkit explain``: what a container was made by, and what the kernel says of it now.

The operations are those of its journals, and those of its first process as its config.json plans them again. What is
read back is read from the kernel's own files and tables, each with the command that shows it to anybody.
"""

from __future__ import annotations

import os

from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.cgroups.grouptree import SetLimit
from labkit.runtime.engine.config import runtimes
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.kernel import namespaces
from labkit.runtime.kernel.capabilities import NAMES
from labkit.runtime.network import reading
from labkit.runtime.network.iptables import choose, saved
from labkit.runtime.oci import plan, spec
from labkit.runtime.operations import Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile

#: What a group says of its use, where its controllers are there: v2's words, then v1's.
_USAGE = ("cgroup.procs", "pids.current", "memory.current", "memory.usage_in_bytes", "cpuacct.usage")
_MODES = {"0": "none", "1": "strict", "2": "a filter"}
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def explain(container: Container) -> dict[str, Any]:
    """All of it, plain but for the network: ``operations`` (each with ``who``, ``when``, ``command``, ``undo``), and,
    while it runs, ``process``, ``namespaces``, ``cgroup``, ``root``, ``network`` and ``rules``. It changes nothing.

    ConfigError where a journal or config.json cannot be read.
    """
    state = container.state()
    found: dict[str, Any] = {
        "id": container.id,
        "name": container.name,
        "status": state.status,
        "pid": state.pid,
        "operations": _operations(container, state.pid > 0),
    }
    if not state.runs:
        return found
    # It may end while we look: whatever has gone is left out.
    with suppress(FileNotFoundError, ProcessLookupError):
        found["process"] = process(state.pid)
        found["namespaces"] = kinds_of_namespaces(state.pid)
        found["cgroup"] = _groups(container)
        found["root"] = _root(container)
        found["network"] = _network(container, state.pid)
        found["rules"] = _rules(container)
    return found


def _operations(container: Container, runs: bool) -> list[dict[str, str]]:
    rows = [_row(operation, "host", "create") for operation in record.creation_journal(container.id).operations()]
    for journal in reversed(record.journals_of_run(container.id)):
        rows += [_row(operation, "host", "start") for operation in journal.operations()]
    if runs and container.runtime == runtimes.OWN:
        inside = plan.inside(spec.load(container.directory), here())
        rows += [_row(operation, "init", "start") for operation in inside]
    return rows


def _row(operation: Operation, who: str, when: str) -> dict[str, str]:
    undo = operation.describe_undo() if who == "host" else ""
    return {"who": who, "when": when, "command": operation.describe(), "undo": undo}


def process(pid: int) -> dict[str, Any]:
    """Its numbers, users, rights and filter, as /proc/PID/status has them. FileNotFoundError if it is gone."""
    pairs = [line.partition(":\t") for line in textfile.read(f"/proc/{pid}/status").splitlines()]
    status = {name: value.strip() for name, _, value in pairs}
    return {
        "pids": [int(word) for word in status.get("NSpid", str(pid)).split()],
        "uid": int(status["Uid"].split()[0]),
        "gid": int(status["Gid"].split()[0]),
        "capabilities": {name: _names(status[name]) for name in _SETS if name in status},
        "no_new_privileges": status.get("NoNewPrivs") == "1",
        "seccomp": _MODES.get(status.get("Seccomp", "0"), status.get("Seccomp", "")),
    }


def _names(mask: str) -> list[str]:
    number = int(mask, 16)
    return [f"CAP_{NAMES[bit]}" for bit in range(len(NAMES)) if number >> bit & 1]


def kinds_of_namespaces(pid: int) -> list[dict[str, Any]]:
    """Kind, its own number, ours, and whether it is another one. FileNotFoundError if the process is gone."""
    kinds = [kind for kind in sorted(namespaces.FLAGS) if os.path.exists(f"/proc/self/ns/{kind}")]  # not on old kernels
    inodes = [(kind, namespaces.inode(pid, kind), namespaces.inode("self", kind)) for kind in kinds]
    return [{"kind": kind, "inode": own, "host": ours, "own": own != ours} for kind, own, ours in inodes]


def _groups(container: Container) -> list[dict[str, str]]:
    """File and value: first what was set, then what the group has used."""
    made = record.runtime_journal(container.id).operations()
    files = [f"{operation.path}/{operation.chosen()[0]}" for operation in made if isinstance(operation, SetLimit)]
    places = group.directories(container.cgroups_path, here())
    files += [f"{place}/{name}" for name in _USAGE for place in places]
    rows = []
    counted = set()
    for file in dict.fromkeys(files):
        name = os.path.basename(file)
        with suppress(OSError):  # not of this controller, or it can only be written
            value = " ".join(textfile.read(file).split())
            if name not in counted or name not in _USAGE:  # on v1 every tree lists the same processes
                rows.append({"file": file, "value": value})
            counted.add(name)
    return rows


def _root(container: Container) -> dict[str, Any]:
    """What is mounted as its root file system: ``kind``, and the directories of an overlay, the topmost lower first."""
    found: dict[str, Any] = {"target": container.rootfs, "kind": "", "lower": [], "upper": "", "work": ""}
    for line in textfile.read("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[4] != container.rootfs:
            continue
        kind, _, options = rest.split(" ", 2)
        words = dict(word.partition("=")[::2] for word in options.split(","))
        found.update(kind=kind, upper=words.get("upperdir", ""), work=words.get("workdir", ""))
        found["lower"] = words["lowerdir"].split(":") if "lowerdir" in words else []
    return found


def _network(container: Container, pid: int) -> dict[str, Any]:
    """What the kernel has: in the container's namespace, and out here of our ends of its cables."""
    names = [known["link"] for known in container.endpoints.values()]
    outside = [fact for fact in reading.picture() if fact.device in names]
    inside = [] if container.network == "host" else reading.picture(f"/proc/{pid}/ns/net")
    return {"mode": container.network, "inside": inside, "outside": outside}


def _rules(container: Container) -> list[str]:
    """The rules that name its addresses, with their counters (packets:bytes), as iptables-save(8) says them."""
    addresses = {known["address"] for known in container.endpoints.values()}
    if not addresses:
        return []
    rows = []
    table = ""
    for line in saved(choose(), counters=True).splitlines():
        table = line[1:] if line.startswith("*") else table
        words = line.replace("/", " ").replace(":", " ").split()
        if line.startswith("[") and not addresses.isdisjoint(words):
            rows.append(f"{table}: {line}")
    return rows
