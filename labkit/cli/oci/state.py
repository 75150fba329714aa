"""Print a container's state as JSON."""

from __future__ import annotations

from labkit.cli.oci import answer
from labkit.cli.options import Command
from labkit.oci import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command("CONTAINER", examples=("state redis",))


def main(call: Call) -> int:
    """Print it."""
    answer.show(answer.described(state.load(call.root, call.arguments[0]), ""), "  ", end="")
    return 0
