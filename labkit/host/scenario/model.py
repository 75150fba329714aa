"""What a lesson consists of, as data. ``parser`` makes it from a README.md; ``player`` plays it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.host.lab.names import not_found


@dataclass(frozen=True)
class Prose:
    """Text for the reader, as Markdown."""

    markdown: str
    summary: str = ""
    """Of a folded ``<details>``: what the reader should think about before reading on."""


@dataclass(frozen=True)
class Command:
    """One command line of a console block and what it must print."""

    text: str
    """What the shell gets; several lines where the lesson continues it with ``> ``."""
    expected: str
    """What must come out: lines, with ``...`` for what varies. Empty: nothing may come out."""
    line: int
    """Where the command stands in the README, from 1."""
    exit_status: int = 0
    timeout: float = 30.0
    """Seconds after which the command counts as hanging."""


Part = Prose | Command


@dataclass(frozen=True)
class Step:
    """One ``##`` heading that has commands below it."""

    id: str
    title: str
    line: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Lesson:
    """A lesson: a directory with README.md and test_NAME.py."""

    name: str
    title: str
    minutes: int
    needs: tuple[str, ...]
    """Names of probes in ``needs.NEEDS``: what the kernel must have."""
    claims: tuple[str, ...]
    """Ids of the article's statements that its checks prove."""
    path: Path
    """The README.md."""
    introduction: tuple[Part, ...]
    """What stands before the first step. Never a Command."""
    steps: tuple[Step, ...]

    def position(self, step_id: str) -> int:
        """Where the step stands in the lesson, from 0. NotFoundError with the nearest ids."""
        ids = [step.id for step in self.steps]
        if step_id not in ids:
            raise not_found(f"step of {self.name}", step_id, ids)
        return ids.index(step_id)
