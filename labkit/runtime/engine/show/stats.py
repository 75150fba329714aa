"""``labkit stats`` and ``top``: what containers use, by the counters of their cgroups and of their networks' devices,
and their processes.
"""

from __future__ import annotations

import os
import time

from labkit.runtime.cgroups import group, statistics
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.record.record import Container
from labkit.runtime.kernel import process
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile

#: v1 says so where there is no limit: the largest number of pages that fits (mm/page_counter.c).
_UNLIMITED = 1 << 62
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def sample(containers: list[Container], seconds: float) -> list[dict[str, Any]]:
    """What each uses: its processors over the next ``seconds``, the rest at their end.

    Each has ``id``, ``name``, ``cpu_percent`` (100 is one processor), what ``cgroups.statistics.in_short`` tells,
    ``network_received_bytes``, ``network_sent_bytes``, ``disk_read_bytes`` and ``disk_written_bytes``; None stands for
    what this machine does not count.
    """
    before = {
        container.id: (time.monotonic(), statistics.in_short(container.cgroups_path, here()))
        for container in containers
    }
    time.sleep(seconds if containers else 0)
    return [_entry(container, *before[container.id]) for container in containers]


def _entry(container: Container, began: float, before: dict[str, int]) -> dict[str, Any]:
    after = statistics.in_short(container.cgroups_path, here())
    passed = time.monotonic() - began
    percent = None
    if "cpu_nanoseconds" in before and "cpu_nanoseconds" in after:
        percent = round((after["cpu_nanoseconds"] - before["cpu_nanoseconds"]) / passed / 1e7, 2)
    if after.get("memory_limit", 0) >= _UNLIMITED:
        del after["memory_limit"]
    names = ("cpu_nanoseconds", "throttled_periods", "throttled_nanoseconds", "memory_bytes", "memory_limit", "pids")
    return {
        "id": container.id,
        "name": container.name,
        "cpu_percent": percent,
        **{name: after.get(name) for name in names},
        **_network(container),
        **_disks(container),
    }


def _network(container: Container) -> dict[str, int | None]:
    """All devices of its namespace but the loopback one (proc(5), /proc/PID/net/dev); None for the machine's own."""
    received = sent = 0
    try:
        lines = textfile.read(f"/proc/{container.written_state().pid}/net/dev").splitlines()[2:]
    except OSError:
        lines = []  # it has just ended
    for line in lines:
        device, _, numbers = line.partition(":")
        if device.strip() != "lo":
            received += int(numbers.split()[0])
            sent += int(numbers.split()[8])
    own = container.network != "host"
    return {"network_received_bytes": received if own else None, "network_sent_bytes": sent if own else None}


def _disks(container: Container) -> dict[str, int]:
    read, written = statistics.disks(container.cgroups_path, here())
    return {"disk_read_bytes": read, "disk_written_bytes": written}


def memory_of_machine() -> int:
    """Bytes: what a container without a limit could use (proc(5), /proc/meminfo)."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("MemTotal:")).split()[1]) * 1024


def processes(container: Container) -> list[dict[str, Any]]:
    """Its processes as the host sees them (proc(5)): a dictionary for each, with ``uid``, ``pid``, ``ppid``,
    ``cpu_percent`` over its life, ``started`` (seconds since the epoch), ``tty``, ``cpu_seconds`` and ``command``.
    """
    uptime = float(textfile.read("/proc/uptime").split()[0])
    found = []
    for pid in group.pids(container.cgroups_path, here()):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(_process(pid, uptime))
    return found


def _process(pid: int, uptime: float) -> dict[str, Any]:
    # The fields that follow the name: state 0, ppid 1, tty_nr 4, utime 11, stime 12, starttime 19.
    fields = process.stat_fields(pid)
    used = (int(fields[11]) + int(fields[12])) / _TICKS
    lived = uptime - int(fields[19]) / _TICKS
    words = [word for word in textfile.read(f"/proc/{pid}/cmdline").split("\0") if word]
    name = textfile.read(f"/proc/{pid}/comm").strip()
    return {
        "uid": os.stat(f"/proc/{pid}").st_uid,
        "pid": pid,
        "ppid": int(fields[1]),
        "cpu_percent": round(100 * used / lived, 1) if lived > 0 else 0.0,
        "started": time.time() - lived,
        "tty": _terminal(int(fields[4])),
        "cpu_seconds": used,
        "command": " ".join(words) or f"[{name}]",
    }


def _terminal(number: int) -> str:
    """As ps(1) shows it; 136 to 143 are the majors of pts (devices.txt in the kernel's documentation)."""
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"
