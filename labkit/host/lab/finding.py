"""The words that all examinations share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
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


SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/local/sbin")
"""Where Debian keeps mke2fs and others; an ordinary user's PATH does not name them."""


def program(name: str) -> str | None:
    """The path of a program on PATH, or in the system's own directories; None if there is none."""
    places = [os.environ.get("PATH", os.defpath), *(SYSTEM_DIRECTORIES if os.name == "posix" else ())]
    return shutil.which(name, path=os.pathsep.join(places))


def first_line(command: Sequence[str], seconds: float = 20.0) -> str | None:
    """The first line that a command prints; None if it cannot be started, fails, says nothing or takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else None


def nearest_existing(path: Path) -> Path:
    """The path itself or the closest directory above it that exists: where it would be made."""
    return next(directory for directory in (path, *path.parents) if directory.exists())


def gib(number: float) -> str:
    """Bytes as a person reads them: ``3.5 GiB``."""
    return f"{number / 2**30:.1f} GiB"
