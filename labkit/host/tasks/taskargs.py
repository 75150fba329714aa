"""The lab's own kind of invoke task, and where invoke's reading of the command line is not what a user needs: a
lesson's missing NAME, and the exit status.

invoke finds a missing argument before any task's body runs, and says so in its own words: ``'scenario' did not receive
required positional arguments: 'name'``. The argument's name is the one part of that sentence that we can choose, and
only its *formatting*: as a key it has to stay ``name``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.program import Program
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from labkit.errors import UsageError
from labkit.host.lab.paths import checkout
from labkit.host.tasks import boundary


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


def end_usage_errors_as_ours() -> None:
    """From now on a command line that invoke cannot read ends the process with UsageError's status.

    invoke says what is wrong, and ends with 1, like a test that failed. It loads tasks.py before it looks at the tasks
    and their options (``Program.run``), so that these two of its methods can still be wrapped.
    """
    Program.parse_tasks = _with_our_status(Program.parse_tasks)  # type: ignore[method-assign, assignment]
    Program.parse_cleanup = _with_our_status(Program.parse_cleanup)  # type: ignore[method-assign, assignment]


def _with_our_status(parse: Callable[[Program], None]) -> Callable[[Program], None]:
    @functools.wraps(parse)
    def parsed(program: Program) -> None:
        try:
            parse(program)
        except ParseError as error:
            raise Exit(str(error), code=UsageError.exit_status) from error

    return parsed


def task(
    klass: Any = Task, iterable: tuple[str, ...] = (), **help_texts: str
) -> Callable[[Callable[..., int | None]], Any]:
    """An invoke task with its arguments' help, whose errors end at labkit's one boundary.

    The arguments ``iterable`` may be given several times.
    """
    return lambda body: invoke_task(help=help_texts, klass=klass, iterable=iterable)(boundary.task_body(body))
