"""Print a container's state as JSON."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci import answer
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import state

COMMAND = Command("CONTAINER", examples=("state redis",))


def main(call: Invocation) -> int:
    """Print it."""
    answer.show(answer.described(state.load(call.root, call.arguments[0]), ""), "  ", end="")
    return 0
