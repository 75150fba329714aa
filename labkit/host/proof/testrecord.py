"""When each stage of ``invoke test --all`` was last run on this computer, and how it ended.

Kept in ``state_dir()/tests.json``: title -> ``when`` (ISO 8601, UTC), ``verdict``, ``passed`` (a number), ``commit``.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.host.lab import paths, programs, records
from labkit.host.proof.testreport import Outcome


def note(outcome: Outcome) -> None:
    """Remember it. A directory that cannot be written to makes no test fail."""
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "verdict": outcome.verdict,
        "passed": outcome.passed,
        "commit": _commit(),
    }
    with contextlib.suppress(OSError):
        _place().parent.mkdir(parents=True, exist_ok=True)
        records.write(_place(), {**read(), outcome.title: entry})


def read() -> dict[str, dict[str, Any]]:
    """What is remembered; nothing where that cannot be read."""
    return {title: entry for title, entry in records.read(_place()).items() if isinstance(entry, dict)}


def _place() -> Path:
    """Not below the machines of the tests, which have a state directory of their own while they run."""
    state = paths.state_dir()
    return (state.parent if state.name == "tests" else state) / "tests.json"


def _commit() -> str:
    """The checkout's, with a plus where something is not committed; empty where git does not know."""
    where = str(paths.checkout())
    return programs.said(["git", "-C", where, "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"])
