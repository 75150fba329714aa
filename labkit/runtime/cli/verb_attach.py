"""Show what a running container writes from now on, and type into it; the exit status is its own.

Examples:
  labkit attach box              Ctrl-P Ctrl-Q leaves it running, where it has a terminal
  labkit attach --no-stdin redis

Signals (as Ctrl-C) go to the container, unless --sig-proxy=false is given.
"""

from __future__ import annotations

from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import run
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER",
    (
        Option(("no-stdin",), "do not pass our standard input on"),
        Option(("sig-proxy",), "pass signals on (true)", "BOOLEAN", "true"),
    ),
)


def main(call: Call) -> int:
    """Attach."""
    container = record.find(call.arguments[0])
    return run.attach(container, not call.options.no_stdin, call.options.sig_proxy.lower() in ("true", "1", "t"))
