"""Print a container's state as JSON."""

from __future__ import annotations

import json

from labkit.cli.options import Command
from labkit.oci import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command("CONTAINER", examples=("state redis",))


def main(call: Call) -> int:
    """Print it."""
    container = state.load(call.root, call.arguments[0])
    shown = container.oci_state()
    shown |= {"rootfs": container.rootfs, "created": container.created, "owner": ""}
    print(json.dumps(shown, indent=2))
    return 0
