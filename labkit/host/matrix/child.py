"""Runs one program to its end, its words in a log, and ends it when the whole run is stopped.

Ctrl-C reaches every process of a terminal's foreground. So each program gets a session of its own: then one place
decides what is ended, in which order, and a lesson's program has the time to close its report.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from labkit.host.lab import paths, programs

PATIENCE = 20.0
"""Seconds that a program is given to end by itself when it is told to."""


class StoppedError(Exception):
    """The whole run is to end, so this program was ended."""


def run(command: Sequence[str], log: Path, limit: float, stop: threading.Event) -> int:
    """Run ``command`` in the checkout, its output added to ``log``; its exit status (negative: a signal's number).

    It is ended after ``limit`` seconds, and when ``stop`` is set; StoppedError then.
    """
    if stop.is_set():
        raise StoppedError
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    deadline = time.monotonic() + limit
    with open(log, "ab") as file:
        file.write(f"\n== {' '.join(command)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            command,
            cwd=paths.checkout(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            **programs.apart(),
        )
        try:
            while not stop.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=0.2)
                if time.monotonic() > deadline:
                    file.write(f"== It did not end within {limit:.0f} seconds and is ended.\n".encode())
                    return programs.end(process, PATIENCE)
            programs.end(process, PATIENCE)
            raise StoppedError
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def last_line(log: Path) -> str:
    """What the program said last."""
    return next((line.strip() for line in reversed(programs.tail(log, 100)) if line.strip()), "")
