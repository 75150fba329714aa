"""The NAME of a lesson as an argument of an invoke task, with the lessons' names in the error where it is missing.

invoke finds a missing argument before any task's body runs, and says so in its own words: ``'scenario' did not receive
required positional arguments: 'name'``. The argument's name is the one part of that sentence that we can choose, and
only its *formatting*: as a key it has to stay ``name``.
"""

from __future__ import annotations

from typing import Any

from invoke.parser.argument import Argument
from invoke.tasks import Task

from labkit.host.paths import checkout


class _LessonArgumentName(str):
    """The word ``name``; formatted into a sentence it lists the lessons that there are."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        # invoke formats every argument for its debug log at each start, so this may not read the lessons themselves.
        lessons = sorted(readme.parent.name for readme in (checkout() / "scenarios").glob("*/README.md"))
        return f"NAME, which is a lesson's: {', '.join(lessons)}"


class LessonTask(Task[Any]):
    """A task whose first argument, ``name``, is a lesson's."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """invoke's arguments, the lesson's name put first and renamed as above."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            if argument.name == "name":
                argument.names = tuple(_LessonArgumentName(n) if n == "name" else n for n in argument.names)
        return arguments
