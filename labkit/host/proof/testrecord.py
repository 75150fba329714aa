"""When each stage of ``invoke test --all`` was last run on this computer, and how it ended.

Kept in ``state_dir()/tests.json``: title -> ``when`` (ISO 8601, UTC), ``verdict``, ``passed`` (a number), ``commit``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.host.lab import paths
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
        _place().write_text(json.dumps({**read(), outcome.title: entry}, indent=2) + "\n", encoding="utf-8")


def read() -> dict[str, dict[str, Any]]:
    """What is remembered; nothing where that cannot be read."""
    try:
        found = json.loads(_place().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {title: entry for title, entry in found.items() if isinstance(entry, dict)} if isinstance(found, dict) else {}
    )


def _place() -> Path:
    """Not below the machines of the tests, which have a state directory of their own while they run."""
    state = paths.state_dir()
    return (state.parent if state.name == "tests" else state) / "tests.json"


def _commit() -> str:
    """The checkout's, with a plus where something is not committed; empty where git does not know."""
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
        return subprocess.run(
            command, cwd=paths.checkout(), capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
