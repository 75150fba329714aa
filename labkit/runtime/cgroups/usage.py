"""What a group has used so far, by the kernel's own counters."""

from __future__ import annotations

import os

from labkit.runtime.cgroups import v1, v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import current
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.text import textfile


def read(path: str, hierarchies: Hierarchies) -> dict[str, int]:
    """Those of these that the machine's controllers count; nothing for a group that is not there.

    ======================  ==============================================================================
    ``cpu_nanoseconds``     processor time since it was made, of all processors
    ``throttled_periods``   how often the quota was used up
    ``throttled_nanoseconds``  how long its processors were kept waiting for that
    ``memory_bytes``        without the page cache that can be given back at once, as docker counts
    ``memory_limit``        the limit; missing (v2) or huge (v1) where there is none
    ``pids``                processes and threads
    ======================  ==============================================================================
    """
    found: dict[str, int] = {}
    for files, trees in ((_V2, {"": hierarchies.v2} if hierarchies.v2 else {}), (_V1, hierarchies.v1)):
        for key, (controller, name, word, factor) in files.items():
            value = (
                _value(os.path.join(trees[controller], path.lstrip("/"), name), word) if controller in trees else None
            )
            if value is not None:
                found[key] = value * factor
        cache = found.pop(_CACHE, 0)
        if cache:
            found["memory_bytes"] -= cache
    return found


_CACHE = "inactive file"
#: What is told -> controller, its file, the word in it (empty for the only number), and by what it is multiplied.
_V1 = {
    "cpu_nanoseconds": ("cpuacct", "cpuacct.usage", "", 1),
    "throttled_periods": ("cpu", "cpu.stat", "nr_throttled", 1),
    "throttled_nanoseconds": ("cpu", "cpu.stat", "throttled_time", 1),
    "memory_bytes": ("memory", "memory.usage_in_bytes", "", 1),
    "memory_limit": ("memory", "memory.limit_in_bytes", "", 1),
    _CACHE: ("memory", "memory.stat", "total_inactive_file", 1),
    "pids": ("pids", "pids.current", "", 1),
}
_V2 = {
    "cpu_nanoseconds": ("", "cpu.stat", "usage_usec", 1000),
    "throttled_periods": ("", "cpu.stat", "nr_throttled", 1),
    "throttled_nanoseconds": ("", "cpu.stat", "throttled_usec", 1000),
    "memory_bytes": ("", "memory.current", "", 1),
    "memory_limit": ("", "memory.max", "", 1),
    _CACHE: ("", "memory.stat", "inactive_file", 1),
    "pids": ("", "pids.current", "", 1),
}


def _value(file: str, word: str) -> int | None:
    """None where there is no such file, or no limit."""
    with suppress(FileNotFoundError):
        for line in textfile.read(file).splitlines():
            if not word:
                return int(line) if line.isdigit() else None
            if line.startswith(f"{word} "):
                return int(line.split()[1])
    return None


def memory(path: str, hierarchies: Hierarchies) -> int:
    """Bytes of memory.current (v1: memory.usage_in_bytes), page cache included; 0 where none counts."""
    places = []
    if "memory" in hierarchies.v1:
        places.append((v1.directory("memory", path, hierarchies), "memory.usage_in_bytes"))
    if hierarchies.v2:
        places.append((v2.directories(path, hierarchies)[0], "memory.current"))
    for place, name in places:
        with suppress(OSError):
            return int(current(place, name))
    return 0
