"""``dies_after.py WHO COUNT ARGUMENT…``: labkit, whose command, shim or init is killed after its COUNTth operation.

It listens to the events that labkit sends anyway, so that what is tested is the program as it is. Its exit status is 0
where nobody was killed, since there were fewer operations than COUNT.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from labkit import log
from labkit.cli import main

who, count, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
command = os.getpid()
seen = 0


def victim(event: dict[str, Any]) -> int:
    """The pid to kill: our own, or a child's (the container's first process, whose events its shim passes on)."""
    if who == "init":
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return int(children[0])
    return os.getpid()


def listener(event: dict[str, Any]) -> None:
    global seen
    in_command = os.getpid() == command
    if event["event"] != "operation" or in_command != (who == "command"):
        return
    if who == "init" and event["where"] != "init":
        return
    seen += 1
    if seen == count:
        os.kill(victim(event), signal.SIGKILL)


log.listen(listener)
sys.exit(main(arguments))
