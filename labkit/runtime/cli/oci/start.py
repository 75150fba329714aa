"""Execute the program of a created container."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci import making
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle, state

COMMAND = Command("CONTAINER", examples=("start redis",))


def main(call: Invocation) -> int:
    """Start it."""
    container = state.load(call.root, call.arguments[0])
    # Otherwise it is refused below, and the socket that may be there is that of another command, which listens.
    listener = making.listener(container) if container.status() == "created" else None
    lifecycle.start(container, call.report.warning)
    if listener:
        listener.pass_on(container.pid, container.is_alive, leaving=True)
    return 0
