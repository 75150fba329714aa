"""What a group has used so far, by the kernel's own counters."""

from __future__ import annotations

from labkit.runtime.cgroups import v1, v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import current
from labkit.runtime.std.contextlib import suppress


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
    found = v2.usage(path, hierarchies) if hierarchies.v2 else {}
    return {**found, **v1.usage(path, hierarchies)} if hierarchies.v1 else found


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
