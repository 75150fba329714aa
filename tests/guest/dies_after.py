"""``dies_after.py WHO COUNT ARGUMENT…``: labkit, whose command, shim or init is killed after its COUNTth operation.

``remover`` is the command before its COUNTth undo, ``stopper`` the shim.

It only watches what labkit tells of its work. The exit status is 0 where nobody was killed, since there were fewer
operations than COUNT.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from countdown import Countdown

from labkit import log
from labkit.runtime.cli.main import main
from labkit.runtime.oci import init

who, arguments = sys.argv[1], sys.argv[3:]
command = os.getpid()
die_in_time = Countdown(int(sys.argv[2]))


def listener(event: dict[str, Any]) -> None:
    """In the command and, after the fork, in the shim: both hear of the operations of those that they started, too."""
    in_command = os.getpid() == command
    mine = {"command": ("operation", True), "shim": ("operation", False)}
    mine |= {"remover": ("undo", True), "stopper": ("undo", False)}
    if (event["event"], in_command) == mine.get(who):
        die_in_time()


class Teller(init.Teller):
    """The first process's voice."""

    def __call__(self, event: str, **fields: Any) -> None:
        super().__call__(event, **fields)
        if event == "operation" and who == "init":
            die_in_time()


forget = log.listen_no_more


def forget_all_others() -> None:
    """The shim forgets its command's listeners; we stay with it."""
    forget()
    log.listen(listener)


log.listen(listener)
log.listen_no_more = forget_all_others
init.Teller = Teller  # type: ignore[misc]
sys.exit(main(arguments))
