"""List the containers below --root."""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.cli.flags import Command, Option
from labkit.runtime.cli.oci import answer
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import state
from labkit.runtime.oci.state import BundleContainer

COMMAND = Command(
    "",
    (
        Option(("format", "f"), "table (default) or json", "FORMAT", "table"),
        Option(("quiet", "q"), "only the ids"),
    ),
    least=0,
    most=0,
    examples=("list", "list --quiet", "list --format json"),
)


def main(call: Invocation) -> int:
    """List them."""
    if call.options.format not in ("table", "json"):
        raise UsageError(f"invalid format option: {call.options.format}", "it is table or json")
    containers = state.every(call.root)
    if call.options.quiet:
        for container in containers:
            print(container.id)
        return 0
    entries = [answer.described(container, _owner(container)) for container in containers]
    if call.options.format == "json":
        answer.show(entries or None)  # Go's word for a list that nothing was ever put into
        return 0
    columns = ("id", "pid", "status", "bundle", "created", "owner")
    rows = [[name.upper() for name in columns], *([str(entry[name]) for name in columns] for entry in entries)]
    widths = [max(12, *(len(row[column]) + 3 for row in rows)) for column in range(6)]
    for row in rows:
        print("".join(f"{word:<{width}}" for word, width in zip(row, widths)).rstrip())
    return 0


def _owner(container: BundleContainer) -> str:
    import pwd  # local: only a list has the column

    try:
        return pwd.getpwuid(os.stat(container.directory).st_uid).pw_name
    except (KeyError, FileNotFoundError):
        return ""
