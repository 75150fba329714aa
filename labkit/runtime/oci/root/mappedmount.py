"""Bind mounts with their own numbers of users and groups (config.md, "Mounts": idmap and ridmap).

A file that belongs to user 0 on the disk can belong to user 100000 in the mount, and what 100000 makes there to user 0
on the disk: nothing is changed on the disk (mount_setattr(2), MOUNT_ATTR_IDMAP, since Linux 5.12). Only who may mount
the file system itself may do it, so it is the parent that makes such a mount (sources.py), and init puts it into its
place.
"""

from __future__ import annotations

import os

from labkit.runtime.kernel import idmap, mountoptions, mounts
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.oci.root.mounting import BindInside
from labkit.runtime.std.dataclasses import dataclass


@dataclass(frozen=True)
class BindMapped(BindInside):
    """A bind mount; ``users`` and ``groups`` are ranges: first number on the disk, first in the mount, how many."""

    users: tuple[tuple[int, int, int], ...] = ()
    groups: tuple[tuple[int, int, int], ...] = ()

    def shown_options(self) -> str:
        """As mount(8) has it since util-linux 2.39."""
        ranges = [*(f"u:{a}:{b}:{n}" for a, b, n in self.users), *(f"g:{a}:{b}:{n}" for a, b, n in self.groups)]
        return ",".join([super().shown_options(), f"X-mount.idmap={' '.join(ranges)}"])

    def opened(self) -> tuple[int, int | None]:
        """It is always a copy."""
        return os.dup(self.copy), self.copy

    def taken(self) -> int:
        """A descriptor of the mount, which lies nowhere yet. KernelError where the file system cannot do it."""
        options = mountoptions.parse(self.options)
        recursive = bool(options.flags & mounts.MS_REC)
        copy = mounts.copy_of(self.source, recursive)
        try:
            with kept_open(idmap.namespace(list(self.users), list(self.groups))) as namespace:
                mounts.map_numbers(copy, namespace, options.id_map == "ridmap", self.source)
        except BaseException:
            os.close(copy)
            raise
        return copy
