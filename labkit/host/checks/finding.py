"""The words that all examinations share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["ok", "info", "warning", "problem"]
"""``ok``: as it must be. ``info``: worth knowing, needs nothing. ``warning``: works, but slowly or not in every case.
``problem``: the lab will not work before this is mended.
"""


@dataclass(frozen=True)
class Finding:
    """The outcome of one examination. ``invoke doctor --json`` prints a list of these, with these keys."""

    name: str
    verdict: Verdict
    what: str
    """What was seen, in a sentence or less."""
    remedy: str = ""
    """What to do about it; never empty for a warning or a problem."""

    def as_json(self) -> dict[str, str]:
        """The object that ``--json`` prints."""
        return asdict(self)


def nearest_existing(path: Path) -> Path:
    """The path itself or the closest directory above it that exists: where it would be made."""
    return next(directory for directory in (path, *path.parents) if directory.exists())


def gib(number: float) -> str:
    """Bytes as a person reads them: ``3.5 GiB``."""
    return f"{number / 2**30:.1f} GiB"
