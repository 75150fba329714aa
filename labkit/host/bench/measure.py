"""Whole processes by the clock, in turns: whatever else this computer does meets all of them alike."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

DEV_NULL = os.devnull


class CommandFailedError(Exception):
    """A measured command did not end with 0: its time means nothing."""


Times = Mapping[str, list[float]]
"""Seconds of each run, in the order in which they were made, by the command's name."""


def in_turns(
    commands: Mapping[str, Callable[[int], Sequence[str]]],
    runs: int,
    note: Callable[[str], None] = lambda _: None,
    errors: str = DEV_NULL,
) -> Times:
    """Each command ``runs`` times, one after the other, after one run of each that does not count.

    A command is made from the number of its run, since names of containers must differ. CommandFailedError if one
    fails; ``errors`` is the file that holds what it said.
    """
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs + 1):
        note(f"{number} of {runs}")
        for name, command in commands.items():
            took = run(command(number), errors)
            if number:
                seconds[name].append(took)
    return seconds


def run(command: Sequence[str], errors: str = DEV_NULL) -> float:
    """One run: seconds from before its start to after its end."""
    if sys.platform == "win32":  # a test host is Linux's, and Windows has none of the calls below
        raise CommandFailedError("nothing is measured on Windows")
    null = os.open(DEV_NULL, os.O_RDWR)
    said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        streams = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        began = time.perf_counter()
        pid = os.posix_spawnp(command[0], list(command), os.environ, file_actions=streams)
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - began
    finally:
        os.close(null)
        os.close(said)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise CommandFailedError(f"`{' '.join(command)}` ended with {code}")
    return took
