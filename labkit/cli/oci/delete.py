"""Delete a container that has stopped, and all that it holds."""

from __future__ import annotations

import os

from labkit.cli.options import Command, Option
from labkit.errors import NotFoundError
from labkit.oci import lifecycle, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command(
    "CONTAINER",
    (Option(("force", "f"), "kill it first, if it runs; no error if there is none"),),
    examples=("delete redis", "delete --force redis"),
)


def main(call: Call) -> int:
    """Delete it."""
    container_id = state.check_id(call.arguments[0])
    if call.options.force and not os.path.isdir(os.path.join(call.root, container_id)):
        return 0
    try:
        lifecycle.delete(call.root, container_id, call.options.force, call.report.warning)
    except NotFoundError:
        if not call.options.force:
            raise
    return 0
