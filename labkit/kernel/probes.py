"""Does this kernel have it? Asked of the kernel itself, never of a version number."""

from __future__ import annotations

import os
import subprocess

from labkit.kernel import namespaces


def has_filesystem(name: str) -> bool:
    """Whether mount(2) knows this type, its module loaded if there is one (/proc/filesystems)."""

    def listed() -> bool:
        with open("/proc/filesystems", encoding="ascii") as file:
            return any(line.split()[-1] == name for line in file)

    if listed():
        return True
    subprocess.run(["modprobe", "--quiet", name], check=False, stderr=subprocess.DEVNULL)
    return listed()


def namespace_kinds() -> list[str]:
    """Those of the eight kinds that this kernel has."""
    return [kind for kind in namespaces.FLAGS if os.path.exists(f"/proc/self/ns/{kind}")]
