"""Stop all of a container's processes where they are; they notice nothing."""

from __future__ import annotations

from labkit.cli.options import Command
from labkit.oci import lifecycle, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command("CONTAINER", examples=("pause redis",))


def main(call: Call) -> int:
    """Stop them."""
    lifecycle.pause(state.load(call.root, call.arguments[0]))
    return 0
