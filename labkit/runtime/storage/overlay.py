"""overlay, the mainline kernel's union file system (Documentation/filesystems/overlayfs.rst; in it since 3.18)."""

from __future__ import annotations

import os
import stat

from labkit.errors import KernelError
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import MakeTree, Mount

LAYER_FORM = "fs"
"""Which form of a layer it reads; see images/layers.py."""

#: mount(2) copies one page of options and cuts the rest off without a word.
OPTION_LIMIT = 4095


def options(lowers: list[str], upper: str, work: str) -> tuple[str, ...]:
    """The mount options, topmost lower first. A colon parts the lower directories, so one in a name is escaped."""
    stack = ":".join(_escaped(lower) for lower in lowers)
    return (f"lowerdir={stack}", f"upperdir={_escaped(upper)}", f"workdir={_escaped(work)}")


def operations(rootfs: str, lowers: list[str], upper: str, work: str) -> list[Operation]:
    """Make the mount point and mount the stack on it. ``upper`` and ``work`` must be on one file system, and not
    overlay.
    """
    chosen = options(lowers, upper, work)
    if len(",".join(chosen).encode()) > OPTION_LIMIT:
        raise KernelError(
            f"{len(lowers)} layers need mount options of more than {OPTION_LIMIT} bytes, which mount(2) does not take",
            f"put labkit's data on a shorter path than {os.path.dirname(upper)}",
        )
    return [MakeTree(rootfs), Mount("overlay", rootfs, "overlay", chosen)]


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def whiteout(path: str) -> None:
    """Hide a name of the layers below: a character device with the numbers 0/0."""
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def make_opaque(directory: str) -> None:
    """Hide all that the layers below have in this directory."""
    os.setxattr(directory, "trusted.overlay.opaque", b"y")
