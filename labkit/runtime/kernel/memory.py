"""What a process that waits for long need not keep: the code that it does not run."""

from __future__ import annotations

import os

from labkit.runtime.kernel import libc
from labkit.runtime.std import ctypes

_MADV_DONTNEED = 4
"""madvise(2): the pages leave the process; of a file's that were never written, the next use brings them back."""


def let_code_go() -> None:
    """Take executable pages out of our resident memory: 4 MiB of the 12 that Python's start has touched.

    They are the files' own (never written: r-x, private), so that what is still needed comes back from the page cache,
    a microsecond a page. Other mappings of files were changed when they were loaded, and must not be touched.
    """
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        lines = file.readlines()
    libc.call("malloc_trim", 0)
    for line in lines:
        place, permissions, _, _, inode, *_ = line.split(maxsplit=5)
        if permissions == "r-xp" and inode != "0":  # a file's, and neither vdso nor anonymous
            start, _, end = place.partition("-")
            first = int(start, 16)
            libc.call("madvise", ctypes.c_void_p(first), ctypes.c_size_t(int(end, 16) - first), _MADV_DONTNEED)


def resident() -> int:
    """Our resident memory in bytes (proc(5), statm)."""
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
