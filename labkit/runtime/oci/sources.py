"""Sources of bind mounts that the parent of the container's first process has to take.

* In a user namespace its root may be kept from them: a directory with mode 0700 on the way is enough, and engines have
  such.
* Numbers of users can be mapped (mappedmount.py) by who has rights over the file system, and nobody else.

So before the process is cloned its parent takes a copy of each mount, which lies nowhere yet (open_tree(2), Linux
5.2), and the process moves it into its place.
"""

from __future__ import annotations

import os

from labkit.errors import KernelError
from labkit.runtime.kernel import mountoptions, mounts
from labkit.runtime.oci.mappedmount import BindMapped
from labkit.runtime.oci.mounting import COPIES, BindInside
from labkit.runtime.operations import Operation
from labkit.runtime.std.contextlib import suppress


def take(operations: list[Operation], all_of_them: bool) -> None:
    """Make the copies; those with mapped numbers only, or ``all_of_them``.

    KernelError where numbers cannot be mapped. Any other source that cannot be taken is left to init: it may be a
    mount of the container's own.
    """
    try:
        for operation in dict.fromkeys(operations):  # the same mount twice has one copy
            if isinstance(operation, BindMapped):
                COPIES[operation] = operation.copy()
            elif isinstance(operation, BindInside) and all_of_them:
                recursive = bool(mountoptions.parse(operation.options).flags & mounts.MS_REC)
                with suppress(KernelError):
                    COPIES[operation] = mounts.copy_of(operation.source, recursive)
    except BaseException:
        drop()
        raise


def drop() -> None:
    """Close them, once the process is cloned that has them, too."""
    for descriptor in COPIES.values():
        os.close(descriptor)
    COPIES.clear()
