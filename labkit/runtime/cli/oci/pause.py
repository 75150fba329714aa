"""Stop all of a container's processes where they are; they notice nothing."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle, state

COMMAND = Command("CONTAINER", examples=("pause redis",))


def main(call: Invocation) -> int:
    """Stop them."""
    lifecycle.pause(state.load(call.root, call.arguments[0]))
    return 0
