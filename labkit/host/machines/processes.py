"""Processes that outlive the command that started them, on Linux, macOS and Windows.

A process id alone does not name a process for long: ids are used again. So each is kept together with an *identity*,
which is when the process began as its system says it, and nothing is ever ended whose identity is another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from labkit.host.lab import programs

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very Python process started, and so has to wait for (a zombie looks alive)."""


def start(command: list[str], directory: Path, output: Path) -> int:
    """Start ``command`` in ``directory``, detached from our terminal, its output in a file. Returns its pid."""
    options = programs.apart()
    if sys.platform == "win32":
        options["creationflags"] |= subprocess.DETACHED_PROCESS
    with open(output, "wb") as file:
        child = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
    _children[child.pid] = child
    return child.pid


def identity(pid: int) -> str | None:
    """When the process began, in its system's own words; None where there is no such (living) process."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        # Linux counts from the boot, and psutil adds the boot's time as the clock tells it now: where a clock is set, a
        # machine that runs would be another one. So there it is ticks (field 22 of proc_pid_stat(5)), and which boot.
        return _ticks(pid) if sys.platform == "linux" else repr(process.create_time())
    except (psutil.Error, OSError):
        return None


def _ticks(pid: int) -> str:
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"


def is_alive(pid: int, known_identity: str) -> bool:
    """Whether the process that had this identity is still there."""
    return identity(pid) == known_identity


def end(pid: int, known_identity: str, patience: float = 5.0) -> None:
    """End the process if it is the one that is meant: politely, and after ``patience`` seconds for certain."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if not is_alive(pid, known_identity):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)  # On Windows this is TerminateProcess whatever the number.
        if wait_for_end(pid, known_identity, patience):
            return


def wait_for_end(pid: int, known_identity: str, seconds: float) -> bool:
    """Wait at most ``seconds``; whether the process is gone."""
    deadline = time.monotonic() + seconds
    while is_alive(pid, known_identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
