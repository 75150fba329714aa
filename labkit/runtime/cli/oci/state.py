"""Print a container's state as JSON."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci import answer
from labkit.runtime.oci import state
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.cli.oci.main import Invocation

COMMAND = Command("CONTAINER", examples=("state redis",))


def main(call: Invocation) -> int:
    """Print it."""
    answer.show(answer.described(state.load(call.root, call.arguments[0]), ""), "  ", end="")
    return 0
