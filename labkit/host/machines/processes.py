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

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very Python process started, and so has to wait for (a zombie looks alive)."""


def start(command: list[str], directory: Path, output: Path) -> int:
    """Start ``command`` in ``directory``, detached from our terminal, its output in a file. Returns its pid."""
    options: dict[str, int | bool] = {}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
    else:
        options["start_new_session"] = True  # neither Ctrl-C nor a closed terminal reaches it
    with open(output, "wb") as file:
        child = subprocess.Popen(  # type: ignore[call-overload]
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options
        )
    _children[child.pid] = child
    return int(child.pid)


def identity(pid: int) -> str | None:
    """When the process began, in its system's own words; None where there is no such (living) process."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return None
    if sys.platform == "win32":
        return _identity_on_windows(pid)
    if sys.platform == "linux":
        return _identity_on_linux(pid)
    return _identity_by_ps(pid)


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


def _identity_on_linux(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat, the start in clock ticks since the boot, and the boot's own id; see proc(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _identity_by_ps(pid: int) -> str | None:
    """What ps(1) of POSIX systems says: the start to the second."""
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    state, _, began = result.stdout.strip().partition(" ")
    return began.strip() if began and not state.startswith("Z") else None


def _identity_on_windows(pid: int) -> str | None:
    """GetProcessTimes' creation time, in units of 100 ns since 1601."""
    if sys.platform != "win32":
        return None
    import ctypes
    from ctypes import wintypes

    query_limited_information, still_active = 0x1000, 259
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.OpenProcess.restype = wintypes.HANDLE
    handle = kernel32.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return None
    try:
        times = [wintypes.FILETIME() for _ in range(4)]
        status = wintypes.DWORD()
        if not kernel32.GetProcessTimes(wintypes.HANDLE(handle), *[ctypes.byref(item) for item in times]):
            return None
        kernel32.GetExitCodeProcess(wintypes.HANDLE(handle), ctypes.byref(status))
        # A process that has ended is found as long as somebody has it open.
        began = (times[0].dwHighDateTime << 32) | times[0].dwLowDateTime
        return str(began) if status.value == still_active else None
    finally:
        kernel32.CloseHandle(wintypes.HANDLE(handle))
