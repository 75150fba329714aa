"""Does this kernel have it? Asked of the kernel itself, never of a version number."""

from __future__ import annotations

import os

from labkit.runtime.std.contextlib import suppress


def has_filesystem(name: str) -> bool:
    """Whether mount(2) knows this type, its module loaded if there is one (/proc/filesystems)."""

    def listed() -> bool:
        with open("/proc/filesystems", encoding="utf-8") as file:
            return any(line.split()[-1] == name for line in file)

    if listed():
        return True
    # Not by subprocess: its import costs as much as the start of Python, and a start of a container waits for this.
    silent = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    with suppress(FileNotFoundError):  # a system without modprobe has no modules to load
        os.waitpid(os.posix_spawnp("modprobe", ["modprobe", "--quiet", name], os.environ, file_actions=silent), 0)
    return listed()
