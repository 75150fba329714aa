"""What a start can end with, for those who only hear of it."""

from __future__ import annotations

from labkit.errors import LabkitError

#: docker's status for "the program was never reached".
LABKIT_FAILED = 125


class StartError(LabkitError):
    """The program was not executed: ``exit_status`` is 127 where there is none of that name, 126 where it is none, or
    125.

    It is what ``run`` and ``exec`` end with, whatever else their errors' statuses are.
    """

    passes_status_on = True

    def __init__(self, message: str, hint: str, exit_status: int) -> None:
        super().__init__(message, hint)
        self.exit_status = exit_status
