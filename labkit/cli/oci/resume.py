"""Let a paused container go on."""

from __future__ import annotations

from labkit.cli.options import Command
from labkit.oci import lifecycle, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command("CONTAINER", examples=("resume redis",))


def main(call: Call) -> int:
    """Let it go on."""
    lifecycle.resume(state.load(call.root, call.arguments[0]))
    return 0
