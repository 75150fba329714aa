"""What commands say: JSON on standard output, and errors and warnings in the form of runc's log, which podman and
containerd read: a line of text on standard error, or in ``--log FILE``; with ``--log-format json`` an object a line.
"""

from __future__ import annotations

import os
import sys
import time

from labkit.errors import UsageError, one_line
from labkit.runtime.cli.flags import Flags
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import Any
from labkit.runtime.text.document import go_json


def show(value: Any, indent: str = "", end: str = "\n") -> None:
    """Print it as JSON, in UTF-8 whatever the locale: that is what JSON is (RFC 8259, 8.1)."""
    sys.stdout.flush()
    sys.stdout.buffer.write(go_json(value, indent).encode() + end.encode())
    sys.stdout.buffer.flush()


class Report:
    """Where messages go."""

    def __init__(self, path: str = "", form: str = "text", debug: bool = False) -> None:
        if form not in ("text", "json"):
            raise UsageError(f"invalid log-format: {form}", "it is text or json")
        self.path = path
        self.form = form
        self.debugging = debug
        if path:
            try:
                # A dead reader of a fifo or a directory must show now, and not when there is something to say.
                with open(path, "ab"):
                    pass
            except OSError as error:
                raise UsageError(f"the log {path} cannot be written: {error.strerror}") from None

    def error(self, message: str, hint: str = "") -> None:
        """What the command failed with. A person who reads standard error gets the hint, too."""
        self._write("error", message)
        if self.path:
            _to_standard_error(f"{one_line(message)}\n")
        if hint:
            _to_standard_error(f"hint: {one_line(hint)}\n")

    def warning(self, message: str) -> None:
        """What went wrong, and does not stop the command."""
        self._write("warning", message)

    def debug(self, message: str) -> None:
        """What is going on; with ``--debug``."""
        if self.debugging:
            self._write("debug", message)

    def _write(self, level: str, message: str) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.form == "json":
            line = go_json({"level": level, "msg": message, "time": when})
        else:
            line = f'time="{when}" level={level} msg={_quoted(message)}'
        if not self.path:
            _to_standard_error(f"{line}\n")
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with suppress(OSError), kept_open(os.open(self.path, flags, 0o644)) as file:
            os.write(file, f"{line}\n".encode("utf-8", "surrogateescape"))


#: A value of these alone stands as it is (logrus, the library that writes runc's log).
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")


def _quoted(message: str) -> str:
    if _PLAIN.issuperset(message):
        return message
    escaped = message.replace("\\", "\\\\").replace('"', '\\"')
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in escaped)
    return f'"{"".join(shown)}"'


def _to_standard_error(text: str) -> None:
    with suppress(OSError, AttributeError, ValueError):  # it may be closed
        sys.stderr.write(text)
        sys.stderr.flush()


@dataclass(frozen=True)
class Invocation:
    """One call of a command."""

    options: Flags
    arguments: list[str]
    root: str
    report: Report
