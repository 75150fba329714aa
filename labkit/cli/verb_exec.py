"""Run a program in a running container, beside its first process.

Examples:
  labkit exec redis redis-cli ping
  labkit exec -i redis sh < script.sh
  labkit exec -e LANG=C -w /data redis ls

The exit status is the program's own; 125 when labkit failed, 126 when it cannot be executed, 127
when it is not there.
"""

from __future__ import annotations

import os

from labkit.cli.options import Call, Command, Option
from labkit.engine import bundle, lifecycle, record
from labkit.errors import UsageError

COMMAND = Command(
    "CONTAINER PROGRAM [ARGUMENT …]",
    (
        Option(("interactive", "i"), "pass our standard input on to it"),
        Option(("env", "e"), "an environment variable, may be repeated", "NAME=VALUE", many=True),
        Option(("tty", "t"), "not yet"),
        Option(("workdir", "w"), "its working directory", "DIRECTORY", ""),
    ),
    least=2,
    most=-1,
    takes_program=True,
)


def main(call: Call) -> int:
    """Run it."""
    if call.options.tty:
        raise UsageError("labkit exec gives no terminal yet (-t)", "use -i alone: it gets what you type")
    container = record.find(call.arguments[0])
    env = bundle.environment_entries(call.options.env)
    if not call.options.interactive:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    return lifecycle.execute(container, call.arguments[1:], env, call.options.workdir)
