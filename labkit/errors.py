"""What can go wrong, as a user sees it: one sentence, one hint, one exit status per class.

A ``LabkitError`` is the user's business (a wrong name, a busy port, a missing tool) and is shown without a traceback.
Any other exception is a bug of the lab's own. The statuses are documented in the README ("Exit statuses").
"""

from __future__ import annotations


class LabkitError(Exception):
    """Something that the user can understand and mend.

    ``message`` is one sentence that says what is wrong; ``hint`` says what to do about it.
    ``exit_status`` is what the process ends with.
    """

    exit_status = 1
    passes_status_on = False
    """Whether ``labkit run`` and ``exec`` end with this error's own status, and not with docker's 125."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def one_line(text: str) -> str:
    """The text as a terminal may show it: a name that was typed, or read from a file, may hold anything."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class UsageError(LabkitError):
    """What was typed cannot be meant: an invalid name, port, address, image or flag."""

    exit_status = 2


class ConfigError(LabkitError):
    """A file that we read (lab.yaml, config.json, a lesson) does not say what it must."""

    exit_status = 3


class NotFoundError(LabkitError):
    """No machine, lesson, container or image of that name."""

    exit_status = 4


class ConflictError(LabkitError):
    """It exists already, is in use, or is not in the state that the command needs."""

    exit_status = 5


class MissingToolError(LabkitError):
    """A program or a right that the host must have is not there."""

    exit_status = 6


class InfrastructureError(LabkitError):
    """The machine cannot be started or reached. Neither a pass nor a failure of what was to be tested."""

    exit_status = 7


class BuildError(LabkitError):
    """The guest image could not be built (no space left, no network, a package that is not there)."""

    exit_status = 8


class KernelError(LabkitError):
    """The kernel refused an operation; the message holds the call and errno's own words, ``errno`` the number."""

    exit_status = 9

    def __init__(self, message: str, hint: str = "", errno: int = 0) -> None:
        super().__init__(message, hint)
        self.errno = errno
