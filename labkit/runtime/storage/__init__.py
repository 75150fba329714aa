"""Storage drivers: how a stack of read-only layers and a writable one become a container's root file system.

A driver is a module; DRIVERS has their names, and the first that a kernel has is used where nobody asks for another
(``kernel/mounts.py``; a mount.aufs that stands in for it does not count).

``operations(rootfs, lowers, upper, work) -> list[Operation]``
    what mounts the stack on ``rootfs``; ``lowers`` is topmost first
``LAYER_FORM``, ``whiteout(path)``, ``make_opaque(directory)``
    how it is told that a layer hides something of those below; see images/layers.py
"""

from __future__ import annotations

from labkit.errors import KernelError
from labkit.runtime.kernel import mounts
from labkit.runtime.std import importlib
from labkit.runtime.std.types import ModuleType

DRIVERS = ("overlay", "aufs")
"""Their names, in the order in which they are tried, which are those of the kernel's file systems, too."""


def driver(name: str) -> ModuleType:
    """The module of that name, imported when it is asked for: a container's start needs one of them."""
    return importlib.import_module(f"{__name__}.{name}")


def choose(name: str = "") -> str:
    """The driver called ``name``, or the first that this kernel has. KernelError where it has it not."""
    for candidate in [name] if name else DRIVERS:
        if mounts.has_filesystem(candidate):
            return candidate
    if not name:
        raise KernelError(f"this kernel has none of {', '.join(DRIVERS)}", "is a module missing? modprobe overlay")
    others = [other for other in DRIVERS if other != name and mounts.has_filesystem(other)]
    way_out = f"leave --storage-driver out: it has {others[0]}" if others else f"is its module there? modprobe {name}"
    raise KernelError(f"this kernel has no {name}", way_out)
