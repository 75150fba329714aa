"""Make a container from an image and start it.

Examples:
  labkit run --rm busybox echo hello
  labkit run -d -p 6379:6379 --name redis redis
  echo 'hello' | labkit run --rm -i busybox tr a-z A-Z
  labkit run --storage-driver aufs busybox ls   on a kernel that has aufs
  labkit run --explain --rm busybox true      every operation as it is done
  labkit run --dry-run -d redis > start.sh    the same as a script, nothing done

The exit status is the container's own; 125 when labkit failed, 126 when the program cannot be
executed, 127 when it is not there.
"""

from __future__ import annotations

from labkit.runtime.cli import explain, runflags
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import gc

COMMAND = Command(
    "IMAGE [PROGRAM [ARGUMENT …]]",
    (
        Option(("detach", "d"), "leave it running and print its id"),
        *runflags.OPTIONS,
        Option(("dry-run",), "print what would be done as a shell script, and do nothing"),
    ),
    most=-1,
    takes_program=True,
)


def main(call: Call) -> int:
    """Run it."""
    detach = call.options.detach
    options = runflags.wanted(call)
    if call.options.dry_run:
        from labkit.runtime.engine.script import script  # local: only dry runs need it

        print(script.render(options, detach, call.words), end="")
        return 0
    if call.options.explain:
        explain.listen()
    gc.collect_quietly()
    from labkit.runtime.engine.life.run import run  # local: a mistyped option is answered sooner

    return run(options, detach)
