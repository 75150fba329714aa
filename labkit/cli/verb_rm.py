"""Remove containers: their names, writable layers and logs.

Examples:
  labkit rm redis
  labkit rm -f $(labkit ps -aq)     running ones, too
"""

from __future__ import annotations

from labkit.cli.options import Call, Command, Option
from labkit.engine import lifecycle, record

COMMAND = Command(
    "CONTAINER …",
    (Option(("force", "f"), "kill those that run"),),
    most=-1,
)


def main(call: Call) -> int:
    """Remove them in turn; all names are looked up first."""
    for word, container in [(word, record.find(word)) for word in call.arguments]:
        lifecycle.remove(container, call.options.force)
        print(word)
    return 0
