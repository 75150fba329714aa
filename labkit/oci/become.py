"""The last steps of a process in a container: become the user, give up rights, become the program."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from shlex import join, quote
from typing import Any, NoReturn

from labkit.kernel import capabilities
from labkit.oci.spec import Process


def execute(process: Process, tell: Any) -> NoReturn:
    """Become the user, give up what the specification does not grant, and execute the program.

    The order matters: the bounding set needs CAP_SETPCAP, the groups CAP_SETGID, and both go with the change of user.
    """
    os.umask(0o022)
    try:
        os.chdir(process.cwd)
    except OSError as refused:
        message = f"the working directory {process.cwd} cannot be entered: {refused.strerror}"
        tell("error", message=message, hint="it must be a directory of the container", status=126)
        os._exit(126)
    sets = {name: capabilities.numbers(members) for name, members in process.capabilities.items()}
    capabilities.limit_bounding(sets["bounding"])
    capabilities.keep_over_setuid(True)
    os.setgroups(process.additional_gids)
    os.setresgid(process.gid, process.gid, process.gid)
    os.setresuid(process.uid, process.uid, process.uid)
    capabilities.set_sets(sets["effective"], sets["permitted"], sets["inheritable"], sets["ambient"])
    if process.no_new_privileges:
        capabilities.no_new_privileges()
    _restore_signals()
    environment = dict(variable.partition("=")[::2] for variable in process.env)
    error = _execve_on_path(process.args, environment)
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    tell(
        "error",
        message=f"'{process.args[0]}' cannot be executed in the container: {error.strerror}",
        hint="it must be in the container's root file system, on its PATH or given with its path",
        status=127 if missing else 126,
    )
    os._exit(127 if missing else 126)


def last_command(process: Process) -> str:
    """The last step as setpriv(1) and a shell would do it: give up rights, then become the program."""
    words = capabilities.setpriv_words(process.capabilities["bounding"])
    return f"cd {quote(process.cwd)} && exec setpriv --bounding-set={words} {join(process.args)}"


def _execve_on_path(args: list[str], environment: dict[str, str]) -> OSError:
    """execve(2) in each directory of PATH, as execvp(3) does; returns the error that tells most."""
    candidates = [args[0]]
    if "/" not in args[0]:
        path = environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        candidates = [os.path.join(directory or ".", args[0]) for directory in path.split(":")]
    telling = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for candidate in candidates:
        try:
            os.execve(candidate, args, environment)  # noqa: S606 - this is the container's program
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                telling = error
    return telling


def _restore_signals() -> None:
    """What Python changed: ignored signals stay ignored over execve(2), and so does the mask (signal(7))."""
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
