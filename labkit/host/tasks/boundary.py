"""The one place where the tasks' errors become what a user sees, and the process's exit status.

==========================  ==============================================================  =====================
what happens                what is shown, on standard error                                exit status
==========================  ==============================================================  =====================
a task returns a number     nothing                                                         that number
``LabkitError``             its sentence and its hint                                       its class's (errors.py)
the disk is full, read-only a sentence with the file's name                                 7
Ctrl-C                      one line                                                        130
a reader of a pipe is gone  nothing                                                         141
anything else: our mistake  one line, and a file with the traceback to report               70
==========================  ==============================================================  =====================
"""

from __future__ import annotations

import errno
import functools
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from invoke.exceptions import Exit
from rich.markup import escape

import labkit
from labkit import log
from labkit.errors import InfrastructureError, LabkitError
from labkit.host import terminal
from labkit.host.lab import paths

INTERRUPTED = 130
"""128 + SIGINT, as shells report a program that Ctrl-C ended."""
BROKEN_PIPE = 141
"""128 + SIGPIPE, for the same reason."""
OUR_MISTAKE = 70
"""EX_SOFTWARE of sysexits.h."""

_KEPT_REPORTS = 10
_USERS_DISK = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}

P = ParamSpec("P")


def task_body(body: Callable[P, int | None]) -> Callable[P, None]:
    """Wrap a task's body: progress is shown while it runs, and it ends as the table above says.

    A status that is not 0 ends the process, so that of two chained tasks the second is not begun.
    """

    @functools.wraps(body)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        status = call(lambda: body(*args, **kwargs))
        if status:
            raise SystemExit(status)

    return guarded


def call(work: Callable[[], int | None]) -> int:
    """Run ``work`` with its progress shown; say what went wrong, if anything did; return the exit status."""
    try:
        _start_event_log()
        with terminal.progress():
            status = work()
        sys.stdout.flush()
    except Exit:
        raise
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at its exit and would complain then; what is written is for nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        return _explain(error)
    return status or 0


# Once in a process: of two chained tasks the second must not write each event twice.
_start_event_log = functools.cache(log.listen_as_environment_says)


def _explain(error: Exception) -> int:
    """Show ``error`` as the user's or as ours, in one sentence and one hint below it; the exit status."""
    to = terminal.stderr_console()
    users = error if isinstance(error, LabkitError) else _of_the_disk(error)
    if users is not None:
        to.print(f"[bold red]error:[/bold red] {escape(users.message)}")
        if users.hint:
            to.print(f"  [cyan]hint:[/cyan] {escape(users.hint)}")
        return users.exit_status
    to.print(
        f"[bold red]error:[/bold red] this is a mistake in labkit itself: {type(error).__name__}: {escape(str(error))}"
    )
    try:
        to.print(f"  [cyan]hint:[/cyan] please report it, with the file {escape(str(_write_report(error)))}")
    except OSError:
        # Not even a file can be written: then the traceback has to go where it can be copied from.
        traceback.print_exception(error)
    return OUR_MISTAKE


def _of_the_disk(error: Exception) -> LabkitError | None:
    """A full or read-only disk is nobody's mistake in the code, whichever call met it."""
    if not (isinstance(error, OSError) and error.errno in _USERS_DISK):
        return None
    where = f" ({error.filename})" if error.filename else ""
    return InfrastructureError(
        f"Cannot write{where}: {(error.strerror or 'the disk is full').lower()}.",
        "`invoke clean` frees what labkit itself keeps; LABKIT_CACHE and LABKIT_STATE put it on another disk.",
    )


def _write_report(error: Exception) -> Path:
    """A file with all that a report needs; only the newest few are kept."""
    directory = paths.state_dir() / "reports"
    directory.mkdir(parents=True, exist_ok=True)
    for old in sorted(directory.glob("*.txt"))[: -_KEPT_REPORTS + 1]:
        old.unlink(missing_ok=True)
    lines = [
        f"labkit {labkit.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {' '.join(sys.argv)}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    handle, name = tempfile.mkstemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), suffix=".txt", dir=directory, text=True)
    with open(handle, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return Path(name)
