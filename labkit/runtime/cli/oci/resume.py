"""Let a paused container go on."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle, state

COMMAND = Command("CONTAINER", examples=("resume redis",))


def main(call: Invocation) -> int:
    """Let it go on."""
    lifecycle.resume(state.load(call.root, call.arguments[0]))
    return 0
