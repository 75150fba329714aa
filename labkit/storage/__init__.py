"""Storage drivers: how a stack of read-only layers and a writable one become a container's root file system.

A driver is a module with two functions; DRIVERS names them.

``available() -> bool``
    whether this kernel can do it
``operations(rootfs, lowers, upper, work) -> list[Operation]``
    what mounts the stack on ``rootfs``; ``lowers`` is topmost first
"""

from __future__ import annotations

from types import ModuleType

from labkit.storage import overlay

DRIVERS: dict[str, ModuleType] = {"overlay": overlay}
