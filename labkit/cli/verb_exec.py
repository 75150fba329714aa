"""Run a program in a running container, beside its first process.

Examples:
  labkit exec redis redis-cli ping
  labkit exec -it redis sh
  labkit exec -i redis sh < script.sh
  labkit exec --dry-run redis redis-cli ping    the same as a script, nothing done
  labkit exec -e LANG=C -w /data redis ls
  labkit exec -u nobody redis id             a name from the container's own /etc/passwd
  labkit exec --privileged redis mount -t tmpfs none /mnt

The exit status is the program's own; 125 when labkit failed, 126 when it cannot be executed, 127
when it is not there.
"""

from __future__ import annotations

import os

from labkit.cli import runflags
from labkit.cli.options import Call, Command, Option
from labkit.engine import bundle, record
from labkit.engine.execute import Request, execute

COMMAND = Command(
    "CONTAINER PROGRAM [ARGUMENT …]",
    (
        Option(("detach", "d"), "return when it runs"),
        Option(("interactive", "i"), "pass our standard input on to it"),
        Option(("tty", "t"), "give it a terminal"),
        Option(("env", "e"), "an environment variable, may be repeated", "NAME=VALUE", many=True),
        Option(("env-file",), "variables from a file, one NAME=VALUE a line", "FILE", many=True),
        Option(("user", "u"), "NAME|UID[:GROUP|GID], as the container knows them", "USER", ""),
        Option(("privileged",), "all capabilities, no filter of system calls"),
        Option(("workdir", "w"), "its working directory", "DIRECTORY", ""),
        Option(("dry-run",), "print what would be done as a shell script, and do nothing"),
    ),
    least=2,
    most=-1,
    takes_program=True,
)


def main(call: Call) -> int:
    """Run it."""
    options = call.options
    container = record.find(call.arguments[0])
    request = Request(
        call.arguments[1:],
        [*runflags.variables_of(options.env_file), *bundle.environment_entries(options.env)],
        options.workdir,
        options.user,
        tty=options.tty,
        detach=options.detach,
        privileged=options.privileged,
    )
    if options.dry_run:
        from labkit.engine import execscript  # local: only dry runs need it

        print(execscript.render(container, request, options.interactive, call.words), end="")
        return 0
    if not options.interactive or options.detach:
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2) if options.detach else (0,):
            os.dup2(null, number)
        os.close(null)
    return execute(container, request)
