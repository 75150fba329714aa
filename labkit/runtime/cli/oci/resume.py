"""Let a paused container go on."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.oci import lifecycle, state
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.cli.oci.main import Invocation

COMMAND = Command("CONTAINER", examples=("resume redis",))


def main(call: Invocation) -> int:
    """Let it go on."""
    lifecycle.resume(state.load(call.root, call.arguments[0]))
    return 0
