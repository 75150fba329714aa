"""Where things are on the participant's computer: the checkout, the cache, the state.

The cache (guest images, package lists) can be made again and may be deleted at any time; the state (a machine's disk,
its snapshot, its lock, its console log) is a participant's work and is deleted only by ``destroy`` and ``clean``.
The environment variables exist for tests and for shared rooms, where a prepared cache is on a common disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import platformdirs

from labkit.errors import ConfigError, LabkitError


def checkout() -> Path:
    """The project's root: the directory that holds ``lab.yaml``, ``tasks.py``, ``scenarios`` and ``labkit``."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "pyproject.toml").is_file():
        raise ConfigError(
            f"labkit is installed in {root} without its checkout, which holds the lessons and lab.yaml.",
            "Clone the project and run `python3 bootstrap.py` there: it installs labkit in place.",
        )
    return root


def cache_dir() -> Path:
    """What can be made again: ``$LABKIT_CACHE``, or the user's cache directory. Images are in ``images/KEY`` below."""
    return chosen("LABKIT_CACHE") or platformdirs.user_cache_path("labkit", appauthor=False)


def state_dir() -> Path:
    """What belongs to this user's machines: ``$LABKIT_STATE``, or the user's state directory."""
    return chosen("LABKIT_STATE") or platformdirs.user_state_path("labkit", appauthor=False)


def machine_dir(name: str) -> Path:
    """Everything that is kept of the machine ``name``. The directory may not exist."""
    return state_dir() / "machines" / name


def check_space(what: str, wanted: int, directory: Path, variable: str, error: type[LabkitError]) -> None:
    """``error`` where fewer than ``wanted`` bytes are free; ``variable`` is what chooses another directory."""
    free = shutil.disk_usage(directory).free
    if free < wanted:
        raise error(
            f"{what} needs {wanted / 1e6:.0f} MB in {directory}, and {free / 1e6:.0f} MB are free.",
            f"Free some space, or choose a directory on another disk with {variable}.",
        )


def disk_bytes(path: Path) -> int:
    """What a file, or all files below a directory, really take: a disk has holes. A running machine's come and go."""
    total = 0
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(FileNotFoundError):
            status = file.lstat()
            total += getattr(status, "st_blocks", status.st_size // 512 + 1) * 512
    return total


def chosen(variable: str) -> Path | None:
    """The place that the environment names. Absolute, since tasks may change their working directory."""
    value = os.environ.get(variable)
    return Path(value).expanduser().absolute() if value else None
