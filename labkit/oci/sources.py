"""Sources of bind mounts for a container in a user namespace, whose root may be kept from them: opened by the host's.

A directory with mode 0700 on the way is enough, and engines have such. So before the first process is cloned its parent
takes a copy of each mount, which lies nowhere yet (open_tree(2), Linux 5.2), and the process moves one into its
place where the source itself is out of reach.
"""

from __future__ import annotations

import contextlib
import os

from labkit.errors import KernelError
from labkit.kernel import mountoptions, mounts
from labkit.oci.mounting import COPIES, BindInside
from labkit.operations import Operation


def take(operations: list[Operation]) -> None:
    """Make the copies. A source that cannot be taken is left to init: it may be a mount of the container's own."""
    for operation in operations:
        if isinstance(operation, BindInside):
            recursive = bool(mountoptions.parse(operation.options).flags & mounts.MS_REC)
            if (operation.source, recursive) not in COPIES:
                with contextlib.suppress(KernelError):
                    COPIES[operation.source, recursive] = mounts.copy_of(operation.source, recursive)


def drop() -> None:
    """Close them, once the process is cloned that has them, too."""
    for descriptor in COPIES.values():
        os.close(descriptor)
    COPIES.clear()
