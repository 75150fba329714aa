"""Restart policies, as docker has them: whether a container that has ended is started again, and after how long."""

from __future__ import annotations

from labkit.errors import UsageError

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 60.0
_STEADY = 10.0
"""Seconds of life after which the next end counts as the first one."""


class Policy:
    """One container's policy, and what it has seen so far."""

    def __init__(self, name: str, most: int = 0) -> None:
        self.name = name
        self.most = most
        """How many times in a row, 0 for any number."""
        self.times = 0

    def wants(self, code: int, stopped_by_hand: bool) -> bool:
        """Whether the container is to run again after it has ended with that status."""
        if self.name == "no" or stopped_by_hand:
            return False
        return self.name != "on-failure" or code != 0

    def after(self, code: int, seconds: float, stopped_by_hand: bool) -> float | None:
        """Seconds to wait before it is started again, each time twice as long as before; None to let it be."""
        if seconds >= _STEADY:
            self.times = 0
        if not self.wants(code, stopped_by_hand) or (self.most and self.times >= self.most):
            return None
        delay = min(_FIRST_DELAY * (1 << self.times), _LONGEST_DELAY)
        self.times += 1
        return delay


def parse(text: str) -> Policy:
    """``no``, ``always``, ``unless-stopped`` or ``on-failure[:TIMES]``. UsageError for anything else."""
    name, colon, times = text.partition(":")
    if name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise UsageError(
            f"there is no restart policy '{text}'", "one of no, always, unless-stopped, on-failure and on-failure:5"
        )
    if colon and not (name == "on-failure" and times.isascii() and times.isdigit() and len(times) < 6):
        raise UsageError(f"the restart policy '{text}' cannot be meant", "a number of times as in on-failure:5")
    return Policy(name or "no", int(times or 0))
