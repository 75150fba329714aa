"""Execute the program of a created container."""

from __future__ import annotations

from labkit.cli.options import Command
from labkit.oci import lifecycle, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command("CONTAINER", examples=("start redis",))


def main(call: Call) -> int:
    """Start it."""
    lifecycle.start(state.load(call.root, call.arguments[0]), call.report.warning)
    return 0
