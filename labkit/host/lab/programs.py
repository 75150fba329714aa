"""The programs of this computer: where they are, how they run out of the terminal's reach, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from labkit import log

SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/local/sbin")
"""Where Debian keeps mke2fs and others; an ordinary user's PATH does not name them."""

if sys.platform == "win32":
    _ENDING = (signal.SIGTERM,)
else:
    _ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def search_path() -> str:
    """PATH, and the system's own directories."""
    return os.pathsep.join(
        [os.environ.get("PATH", os.defpath), *(SYSTEM_DIRECTORIES if os.name == "posix" else ())],
    )


def find(name: str) -> str | None:
    """The path of a program; None if there is none."""
    return shutil.which(name, path=search_path())


def first_line(command: Sequence[str], seconds: float = 20.0) -> str | None:
    """The first line that a command prints; None if it cannot be started, fails, says nothing or takes too long."""
    return next(iter(said(command, seconds).splitlines()), None)


def said(command: Sequence[str], seconds: float = 20.0) -> str:
    """What a command prints, stripped; nothing if it cannot be started, fails or takes too long."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def apart() -> dict[str, Any]:
    """Popen's options for a session of its own: Ctrl-C reaches us alone, and we say what is ended, and how."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def follow(
    command: Sequence[str],
    logged: IO[bytes],
    step: log.Step,
    note: Callable[[str], str | None],
    *,
    group: bool = False,
    **options: Any,
) -> int:
    """Run a program that takes long, apart; its exit status.

    All that it says goes to ``logged``, and what ``note`` makes of a line is how far the ``step`` is. ``options`` are
    Popen's. Whatever interrupts us ends the program first (``group``: and its children), which may clean up.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **apart(), **options
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            logged.write(line)
            logged.flush()
            if text := note(line.decode(errors="replace").rstrip("\n")):
                step.note(text)
        return process.wait()
    except BaseException:
        end(process, 30, group=group)
        raise
    finally:
        process.stdout.close()


def end(process: subprocess.Popen[bytes], patience: float, *, group: bool = False) -> int:
    """As Ctrl-C would, at which a program puts its things away; for certain after ``patience`` seconds. Its status."""
    for number in _ENDING:
        with contextlib.suppress(ProcessLookupError):
            if group and sys.platform != "win32":
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(patience if number == _ENDING[0] else 10)
    return process.wait()


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, none where it is not there."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []
