"""Wait until containers have ended, and print their exit statuses.

Examples:
  labkit wait job
  test "$(labkit wait job)" = 0 && echo done
"""

from __future__ import annotations

from labkit.runtime.cli.options import Call, Command
from labkit.runtime.engine.life import run
from labkit.runtime.engine.record import record

COMMAND = Command("CONTAINER …", most=-1)


def main(call: Call) -> int:
    """Wait for each in turn; all names are looked up first."""
    for container in [record.find(word) for word in call.arguments]:
        print(run.wait(container), flush=True)
    return 0
