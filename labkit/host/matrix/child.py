"""Runs one program to its end, its words in a log, and ends it when the whole run is stopped.

Ctrl-C reaches every process of a terminal's foreground. So each program gets a session of its own: then one place
decides what is ended, in which order, and a lesson's program has the time to close its report.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from labkit.host.lab import paths

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
    options: dict[str, int | bool] = {}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    deadline = time.monotonic() + limit
    with open(log, "ab") as file:
        file.write(f"\n== {' '.join(command)}\n".encode())
        file.flush()
        process = subprocess.Popen(  # type: ignore[call-overload]
            command,
            cwd=paths.checkout(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            **options,
        )
        try:
            while not stop.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return int(process.wait(timeout=0.2))
                if time.monotonic() > deadline:
                    file.write(f"== It did not end within {limit:.0f} seconds and is ended.\n".encode())
                    return _end(process)
            _end(process)
            raise StoppedError
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _end(process: subprocess.Popen[bytes]) -> int:
    """As Ctrl-C would, which Python programs answer by putting their things away; for certain after ``PATIENCE``."""
    process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
    try:
        return process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def last_line(log: Path) -> str:
    """What the program said last."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
