"""What joins a running container."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli.flags import DRY_RUN, Option, VerbCall, verb
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.options import ExecRequest, variables
from labkit.runtime.engine.shim.execshim import execute


@verb(
    "CONTAINER PROGRAM [ARGUMENT …]",
    Option(("detach", "d"), "return when it runs"),
    Option(("interactive", "i"), "pass our standard input on to it"),
    Option(("tty", "t"), "give it a terminal"),
    Option(("env", "e"), "an environment variable, may be repeated", "NAME=VALUE", many=True),
    Option(("env-file",), "variables from a file, one NAME=VALUE a line", "FILE", many=True),
    Option(("user", "u"), "NAME|UID[:GROUP|GID], as the container knows them", "USER", ""),
    Option(("privileged",), "all capabilities, no filter of system calls"),
    Option(("workdir", "w"), "its working directory", "DIRECTORY", ""),
    DRY_RUN,
    least=2,
    most=-1,
    takes_program=True,
)
def exec_(call: VerbCall) -> int:
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
    when it is not there. The program does not depend on this command: whatever ends that, or whoever
    reads its output no more, the program goes on. Keys reach it where it has a terminal (-it), Ctrl-C
    among them; Ctrl-P Ctrl-Q leaves it.
    """
    options = call.options
    container = record.find(call.arguments[0])
    if options.workdir and not options.workdir.startswith("/"):
        raise UsageError(f"the working directory '{options.workdir}' is no absolute path", "as -w /data")
    of_files = []
    if options.env_file:
        from labkit.runtime.cli import wordlists  # local: few have any

        of_files = wordlists.variables(options.env_file)
    request = ExecRequest(
        call.arguments[1:],
        [*of_files, *variables(options.env)],
        options.workdir,
        options.user,
        interactive=options.interactive,
        tty=options.tty,
        detach=options.detach,
        privileged=options.privileged,
    )
    if options.dry_run:
        from labkit.runtime.engine import scripts  # local: only dry runs need it

        print(scripts.execute(container, request, call.words), end="")
        return 0
    return execute(container, request)
