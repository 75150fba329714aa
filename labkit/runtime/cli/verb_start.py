"""Start containers that do not run: those that were created, and those that have ended.

Examples:
  labkit start redis
  labkit start -a job            shows what it writes; the exit status is its own
  labkit start -ai box           types into it, too
  labkit start --explain redis   every operation as it is done
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import gc
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER …",
    (
        Option(("attach", "a"), "show what it writes, and wait for its end"),
        Option(("interactive", "i"), "pass our standard input on to it"),
        Option(("explain",), "print each operation as it is done"),
    ),
    most=-1,
)


def main(call: Call) -> int:
    """Start them in turn; all names are looked up first."""
    attached = call.options.attach or call.options.interactive
    if attached and len(call.arguments) > 1:
        raise UsageError("only one container can be attached to", "leave -a and -i out, or name one")
    if call.options.explain:
        explain.listen()
    gc.collect_quietly()
    from labkit.runtime.engine.life.run import start_again  # local: a mistyped option is answered sooner

    status = 0
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        status = start_again(container, attached, call.options.interactive)
        if not attached:
            print(word)
    return status
