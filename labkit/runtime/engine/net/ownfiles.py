"""Small files of a container's own."""

from __future__ import annotations

from labkit.runtime.operations import Operation
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class WriteFile(Operation):
    """A small text file of ours, in a directory that goes with the container."""

    path: str
    text: str

    def describe(self) -> str:
        """As printf(1) in a shell."""
        return f"printf %s {quote(self.text)} > {quote(self.path)}"

    def do(self) -> None:
        """Write it."""
        textfile.write(self.path, self.text)

    def undo(self) -> None:
        """Nothing: it goes with its directory."""
