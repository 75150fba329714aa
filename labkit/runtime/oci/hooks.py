"""Running hooks: the container's state on standard input, a time limit, and what a failure means for the caller.

Imported only where a specification has hooks: subprocess takes 8 ms to import.
"""

from __future__ import annotations

import os
import subprocess
import time

from labkit import log
from labkit.errors import LabkitError
from labkit.runtime.oci import become
from labkit.runtime.oci.spec.hooks import Hook
from labkit.runtime.std import signal
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.std.typing import Any
from labkit.runtime.text.document import go_json

State = dict[str, Any]


class HookError(LabkitError):
    """A hook ended with an error, or not in time."""


@dataclass(frozen=True)
class Setting:
    """In what hooks run, where that is not what we run in ourselves."""

    directory: str = ""
    environment: dict[str, str] | None = None
    """The variables of a hook that brings none."""
    program: become.Program | None = None
    """For hooks that are programs of the container's own: what they come before."""
    kept: int = 0
    """How many descriptors from 3 on are the container's program's, and not theirs."""


def run(kind: str, hooks: list[Hook], state: State, setting: Setting = Setting()) -> None:  # noqa: B008 - see Value
    """Run them one after the other. HookError at the first that fails: the rest is not run."""
    for number, hook in enumerate(hooks):
        _run_one(kind, number, hook, state, setting)


def run_all(kind: str, hooks: list[Hook], state: State) -> list[str]:
    """Run every one, whatever fails; the messages of those that did."""
    failures = []
    for number, hook in enumerate(hooks):
        try:
            _run_one(kind, number, hook, state, Setting())
        except HookError as error:
            failures.append(error.message)
    return failures


def _run_one(kind: str, number: int, hook: Hook, state: State, setting: Setting) -> None:
    name = f"{kind} hook #{number}"
    given = dict(entry.partition("=")[::2] for entry in hook.env)
    reader, writer = os.pipe()
    began = time.monotonic()

    def last_step() -> None:
        # ``run`` in the foreground lets signals wait at this time, and a mask outlives execve(2).
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if setting.program:
            os.closerange(3, 3 + setting.kept)
            become.execute_hook(setting.program.for_hook(number, hook), writer)

    with open(reader, encoding="utf-8") as report:
        try:
            # A session of its own, so that all that it started can be ended with it when its time is over.
            program = subprocess.Popen(
                hook.args or [hook.path],
                executable=hook.path,
                env=given or setting.environment,
                cwd=setting.directory or None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=last_step,
            )
        except OSError as error:
            raise HookError(f"error running {name}: {hook.path}: {error.strerror}", "see its path") from None
        finally:
            os.close(writer)
        said = _wait(program, name, hook, go_json(state).encode())
        words = " ".join(quote(word) for word in hook.args or [hook.path])
        log.emit("operation", where="host", command=f"{words}  # the {name}", seconds=time.monotonic() - began)
        line = report.readline()
        if line:
            raise HookError(f"error running {name}: {become.message_in(line)}", "the path is the container's")
    if program.returncode:
        raise HookError(f"error running {name}: {_status(program.returncode)}, {said}")


def _wait(program: subprocess.Popen[bytes], name: str, hook: Hook, text: bytes) -> str:
    """What it said, when it has ended; both in runc's words, by which callers know."""
    try:
        said = program.communicate(text, hook.timeout or None)
    except subprocess.TimeoutExpired:
        _end(program)
        raise HookError(f"error running {name}: hook ran past specified timeout of {hook.timeout:.1f}s") from None
    except BaseException:
        _end(program)
        raise
    output, errors = (part.decode(errors="replace").strip()[-2000:] for part in said)
    return f"stdout: {output}, stderr: {errors}"


def _end(program: subprocess.Popen[bytes]) -> None:
    with suppress(PermissionError):  # one of the container's own that has become another user: it dies with us
        try:
            os.killpg(program.pid, signal.SIGKILL)
        except ProcessLookupError:
            program.kill()
        program.wait()


def _status(code: int) -> str:
    return f"exit status {code}" if code > 0 else f"signal: {(signal.strsignal(-code) or '').lower()}"
