"""Remove containers: their names, writable layers and logs.

Examples:
  labkit rm redis
  labkit rm -f $(labkit ps -aq)     running ones, too
  labkit rm --dry-run redis         the same as a script, nothing done
  labkit rm -v redis                and the data that it kept in volumes without names
"""

from __future__ import annotations

from labkit.runtime.cli import explain
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import record

COMMAND = Command(
    "CONTAINER …",
    (
        Option(("force", "f"), "kill those that run"),
        Option(("explain",), "print each operation as it is done"),
        Option(("dry-run",), "print what would be done as a shell script, and do nothing"),
        Option(("volumes", "v"), "their volumes without names, too"),
    ),
    most=-1,
)


def main(call: Call) -> int:
    """Remove them in turn; all names are looked up first."""
    found = [(word, record.find(word)) for word in call.arguments]
    if call.options.dry_run:
        from labkit.runtime.engine.script import undoscript  # local: only dry runs need it

        for _, container in found:
            print(undoscript.remove(container, call.options.force, call.options.volumes, call.words), end="")
        return 0
    if call.options.explain:
        explain.listen()
    for word, container in found:
        with explain.by_shim(container, call.options.explain):
            lifecycle.remove(container, call.options.force, call.options.volumes)
        print(word)
    return 0
