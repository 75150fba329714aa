"""Sources of bind mounts that the parent of the container's first process has to take.

* In a user namespace its root may be kept from them: a directory with mode 0700 on the way is enough, and engines have
  such.
* Numbers of users can be mapped (root/mappedmount.py) by who has rights over the file system, and nobody else.

So before the process is cloned its parent takes a copy of each mount, which lies nowhere yet (open_tree(2), Linux
5.2), and the process moves it into its place.
"""

from __future__ import annotations

import os

from labkit.errors import KernelError
from labkit.runtime.kernel import mountoptions, mounts
from labkit.runtime.oci.plan import Plan
from labkit.runtime.oci.root.mappedmount import BindMapped
from labkit.runtime.oci.root.mounting import BindInside
from labkit.runtime.operations import Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace


def take(plan: Plan, all_of_them: bool) -> tuple[Plan, list[int]]:
    """The plan with the copies in its operations, those with mapped numbers only, or ``all_of_them``; and all copies.

    KernelError where numbers cannot be mapped. Any other source that cannot be taken is left to init: it may be a
    mount of the container's own.
    """
    copies: dict[BindInside, int] = {}
    try:
        for operation in dict.fromkeys(plan.init):  # the same mount twice has one copy
            if isinstance(operation, BindMapped):
                copies[operation] = operation.taken()
            elif isinstance(operation, BindInside) and all_of_them:
                recursive = bool(mountoptions.parse(operation.options).flags & mounts.MS_REC)
                with suppress(KernelError):
                    copies[operation] = mounts.copy_of(operation.source, recursive)
    except BaseException:
        for copy in copies.values():
            os.close(copy)
        raise
    filling, closing = (
        [_with_copy(each, copies) for each in operations] for operations in (plan.filling, plan.closing)
    )
    return Plan(plan.host, filling, closing), list(copies.values())


def _with_copy(operation: Operation, copies: dict[BindInside, int]) -> Operation:
    if isinstance(operation, BindInside) and operation in copies:
        return replace(operation, copy=copies[operation])
    return operation
