"""``oci_dies_after.py WHO COUNT ARGUMENT…``: labkit-oci, whose command or init is killed after its COUNTth operation.

The exit status is that of the command where nobody was killed, since there were fewer operations than COUNT.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from labkit import log
from labkit.cli.oci import main
from labkit.oci import init

who, count, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
seen = 0


def die_in_time() -> None:
    global seen
    seen += 1
    if seen == count:
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)  # pid 1 of a namespace is not killed by a signal from inside it, SIGKILL included


def listener(event: dict[str, Any]) -> None:
    if who == "command" and event["event"] in ("operation", "undo"):
        die_in_time()


class Teller(init.Teller):
    """The first process's voice."""

    def __call__(self, event: str, **fields: Any) -> None:
        super().__call__(event, **fields)
        if event in ("operation", "ready", "program") and who == "init":
            die_in_time()


log.listen(listener)
init.Teller = Teller  # type: ignore[misc]
sys.exit(main(arguments))
