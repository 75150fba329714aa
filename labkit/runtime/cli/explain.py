"""``--explain``: every operation as it is done, on standard error, with who does it and how long it took."""

from __future__ import annotations

import os
import re
import sys

from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.log import Event

_DIM, _BOLD, _PLAIN = "\033[2m", "\033[1m", "\033[0m"
_WHO = {
    "host": "out here: what this command and the container's shim do",
    "init": "in there: what the container's first process does in its new namespaces, before it becomes the program",
    "shim": "the container's shim, when its process had ended",
}


class Explainer:
    """Prints operations. Colours only on a terminal, and not with NO_COLOR (no-color.org)."""

    def __init__(self) -> None:
        self.identifier = re.compile(r"\b[0-9a-f]{64}\b")
        self.colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self.container = ""
        self.where = ""

    def __call__(self, event: Event) -> None:
        """A heading where the place changes, the container's id once, then a line for each operation."""
        if event["event"] not in ("operation", "program", "undo"):
            return
        command = str(event["command"])
        if not command:  # it goes with something else
            return
        if not self.container:
            found = self.identifier.search(command)
            if found:
                self.container = found[0]
                self._print("", f"ID={self.container}")
        if event["where"] != self.where:
            self.where = event["where"]
            self._print(f"# {_WHO[self.where]}", "")
        took = f"{event['seconds'] * 1000:7.1f} ms" if "seconds" in event else " " * 10
        head = f"{self.where:<4} {took}  "
        first, *rest = (command.replace(self.container, "$ID") if self.container else command).splitlines()
        self._print(head, "\n".join([first, *[" " * len(head) + line for line in rest]]))

    def _print(self, dim: str, bold: str) -> None:
        text = f"{_DIM}{dim}{_PLAIN}{_BOLD}{bold}{_PLAIN}" if self.colours else dim + bold
        with suppress(BrokenPipeError):  # who does not want to read on does not stop the container
            print(text, file=sys.stderr, flush=True)
