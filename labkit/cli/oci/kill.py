"""Send a signal (SIGTERM, if none is named) to a container's first process."""

from __future__ import annotations

import signal

from labkit.cli.options import Command, Option
from labkit.errors import UsageError
from labkit.oci import lifecycle, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call

COMMAND = Command(
    "CONTAINER [SIGNAL]",
    (Option(("all", "a"), "to all processes of the container"),),
    most=2,
    examples=("kill redis", "kill redis KILL", "kill --all redis 15"),
)


def main(call: Call) -> int:
    """Send it."""
    container = state.load(call.root, call.arguments[0])
    lifecycle.kill(container, number_of(call.arguments[1] if len(call.arguments) > 1 else "SIGTERM"), call.options.all)
    return 0


def number_of(word: str) -> int:
    """The number of ``9``, ``KILL``, ``SIGKILL``, ``sigkill`` or ``SIGRTMIN+3``. UsageError for no signal."""
    if word.isascii() and word.isdigit():
        number = int(word)
    else:
        name, plus, offset = word.upper().partition("+")
        name = name if name.startswith("SIG") else f"SIG{name}"
        number = int(getattr(signal.Signals, name, 0)) if name.isalnum() else 0
        if plus:
            number = number + int(offset) if number and offset.isdigit() else 0
    if number not in signal.valid_signals():
        raise UsageError(f'unknown signal "{word}"', "by name or number: see 'kill -l'")
    return number
