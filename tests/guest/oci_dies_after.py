"""``oci_dies_after.py WHO COUNT ARGUMENT…``: labkit-oci, whose command or init is killed after its COUNTth operation.

The exit status is that of the command where nobody was killed, since there were fewer operations than COUNT.
"""

from __future__ import annotations

import sys
from typing import Any

from countdown import Countdown

from labkit import log
from labkit.runtime.cli.oci.main import main
from labkit.runtime.oci import init

who, arguments = sys.argv[1], sys.argv[3:]
die_in_time = Countdown(int(sys.argv[2]))


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
