"""What a group has used so far, by the kernel's own counters."""

from __future__ import annotations

from labkit.cgroups import v1, v2
from labkit.cgroups.detect import Hierarchies


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
    if hierarchies.v1:
        return v1.usage(path, hierarchies)
    return v2.usage(path, hierarchies) if hierarchies.v2 else {}
