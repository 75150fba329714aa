"""Stop all of a container's processes where they are; they notice nothing."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.oci import lifecycle, state
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.cli.oci.main import Invocation

COMMAND = Command("CONTAINER", examples=("pause redis",))


def main(call: Invocation) -> int:
    """Stop them."""
    lifecycle.pause(state.load(call.root, call.arguments[0]))
    return 0
