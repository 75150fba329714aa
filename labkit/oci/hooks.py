"""Running hooks: the container's state on standard input, a time limit, and what a failure means for the caller.

Imported only where a specification has hooks: subprocess takes 8 ms to import.
"""

from __future__ import annotations

import os
import subprocess
import time

from labkit import jsontext, log
from labkit.errors import LabkitError
from labkit.oci.spec.hooks import Hook
from labkit.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    State = dict[str, Any]


class HookError(LabkitError):
    """A hook ended with an error, or not in time."""


def run(kind: str, hooks: list[Hook], state: State) -> None:
    """Run them one after the other. HookError at the first that fails: the rest is not run."""
    for number, hook in enumerate(hooks):
        _run_one(f"{kind} hook #{number}", hook, jsontext.as_go(state).encode())


def run_all(kind: str, hooks: list[Hook], state: State) -> list[str]:
    """Run every one, whatever fails; the messages of those that did."""
    failures = []
    for number, hook in enumerate(hooks):
        try:
            _run_one(f"{kind} hook #{number}", hook, jsontext.as_go(state).encode())
        except HookError as error:
            failures.append(error.message)
    return failures


def _run_one(name: str, hook: Hook, text: bytes) -> None:
    environment = dict(os.fsencode(entry).partition(b"=")[::2] for entry in hook.env) if hook.env else None
    began = time.monotonic()
    try:
        # A session of its own, so that all that it started can be ended with it when its time is over.
        program = subprocess.Popen(
            hook.args or [hook.path],
            executable=hook.path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise HookError(f"error running {name}: {hook.path}: {error.strerror}", "the path is the host's") from None
    try:
        output, _ = program.communicate(text, hook.timeout or None)
    except subprocess.TimeoutExpired:
        _end(program)
        raise HookError(f"error running {name}: it did not end within {hook.timeout} s", "see its timeout") from None
    except BaseException:
        _end(program)
        raise
    words = " ".join(quote(word) for word in hook.args or [hook.path])
    log.emit("operation", where="host", command=f"{words}  # the {name}", seconds=time.monotonic() - began)
    if program.returncode:
        said = output.decode(errors="replace").strip()
        raise HookError(f"error running {name}: exit status {program.returncode}, {_quoted(said)}")


def _end(program: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(program.pid, 9)
    except ProcessLookupError:
        program.kill()
    program.wait()


def _quoted(said: str) -> str:
    return f"output: {said[-2000:]}" if said else "no output"
