"""Does this kernel have it? Asked of the kernel itself, never of a version number."""

from __future__ import annotations

import subprocess


def has_filesystem(name: str) -> bool:
    """Whether mount(2) knows this type, its module loaded if there is one (/proc/filesystems)."""

    def listed() -> bool:
        with open("/proc/filesystems", encoding="utf-8") as file:
            return any(line.split()[-1] == name for line in file)

    if listed():
        return True
    subprocess.run(["modprobe", "--quiet", name], check=False, stderr=subprocess.DEVNULL)
    return listed()
