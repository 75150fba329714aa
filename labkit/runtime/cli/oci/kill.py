"""Send a signal (SIGTERM, if none is named) to a container's first process.

The signal 0 asks whether one could be sent: the exit status is 0 while the container runs.
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.kernel import signals
from labkit.runtime.oci import lifecycle, state

COMMAND = Command(
    "CONTAINER [SIGNAL]",
    (Option(("all", "a"), "to all processes of the container"),),
    most=2,
    examples=("kill redis", "kill redis KILL", "kill --all redis 15", "kill redis RTMIN+3", "kill redis 0"),
)


def main(call: Invocation) -> int:
    """Send it."""
    container = state.load(call.root, call.arguments[0])
    word = call.arguments[1] if len(call.arguments) > 1 else ""  # an empty one is none, as runc has it
    lifecycle.kill(container, signals.number(word or "SIGTERM", least=0), call.options.all)
    return 0
