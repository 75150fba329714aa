"""``labkit top``: a container's processes, as the host sees them (proc(5))."""

from __future__ import annotations

import os
import time

from labkit.runtime.kernel import process
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def look(pids: list[int]) -> list[dict[str, Any]]:
    """A dictionary for each that is still there: ``uid``, ``pid``, ``ppid``, ``cpu_percent`` over its life,
    ``started`` (seconds since the epoch), ``tty``, ``cpu_seconds``, ``command``.
    """
    uptime = float(textfile.read("/proc/uptime").split()[0])
    found = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(_look(pid, uptime))
    return found


def _look(pid: int, uptime: float) -> dict[str, Any]:
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
