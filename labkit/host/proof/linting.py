"""What can be said of the code without running it: style, types, and who imports whom.

``invoke lint`` and the first stage of ``invoke test`` run all of it; ``python -m labkit.host.proof.linting types
imports`` runs the named ones (the pre-commit hooks do).
"""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from labkit import log
from labkit.errors import MissingToolError, UsageError
from labkit.host.lab import paths

LONGEST_SECONDS = 900.0
"""A linter that takes longer than this (mypy without a cache under emulation) has lost its way."""

TOOLS = {
    "lint": ("ruff", "mypy", "importlinter"),
    "test": ("ruff", "mypy", "importlinter", "hypothesis", "pytest_timeout", "xdist"),
}
"""Modules of the extra ``dev``, which an installation for the lessons alone does not have, by the task that needs them.
"""


class _HasSomethingToSay(Exception):  # noqa: N818  (it only ends a step as failed)
    pass


def require_tools(task: str) -> None:
    """MissingToolError, before anything is begun, where the development tools that ``task`` needs are not installed."""
    missing = [name for name in TOOLS[task] if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingToolError(
            f"The development tools are not installed: {', '.join(missing)}.",
            f"Install them: `python3 bootstrap.py --yes {task}`.",
        )


@dataclass(frozen=True)
class Linter:
    """One examination: a program and what it is given."""

    name: str
    group: str
    """The word that chooses it on the command line."""
    command: list[str]


@dataclass(frozen=True)
class LintResult:
    """What a linter said. ``output`` is shown when ``ok`` is false."""

    name: str
    ok: bool
    seconds: float
    output: str


_PYTHON = (sys.executable, "-m")
"""This interpreter's own copy of a tool, whatever PATH says."""


def _mypy(platform: str, *targets: str) -> list[str]:
    """mypy as if on ``platform``; a cache for each, since one cache for three platforms is thrown away every time."""
    options = ["--platform", platform, "--cache-dir", f".mypy_cache/{platform}"]
    return [*_PYTHON, "mypy", *options, *targets, "tasks.py", "bootstrap.py"]


# import-linter has no `python -m`, and where its script is depends on how it was installed.
_CONTRACTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"

_HOST_SIDE = ("labkit/host", "labkit/errors.py", "labkit/log.py")

LINTERS = (
    Linter("ruff check", "style", [*_PYTHON, "ruff", "check", "."]),
    Linter("ruff format", "style", [*_PYTHON, "ruff", "format", "--check", "--diff", "."]),
    # The guest side is Linux code and is checked as that, also on a Mac; the host side must be right on all three.
    Linter("mypy, everything on linux", "types", _mypy("linux", "labkit")),
    Linter("mypy, host side on win32", "types", _mypy("win32", *_HOST_SIDE)),
    Linter("mypy, host side on darwin", "types", _mypy("darwin", *_HOST_SIDE)),
    Linter("import contracts", "imports", [sys.executable, "-c", _CONTRACTS, "--no-logo"]),
)


def chosen(groups: Sequence[str]) -> list[Linter]:
    """The linters of these groups (``style``, ``types``, ``imports``); all of them where none is named."""
    known = list(dict.fromkeys(linter.group for linter in LINTERS))
    for group in groups:
        if group not in known:
            raise UsageError(f"There is no group of linters named {group!r}.", f"Known are: {', '.join(known)}.")
    return [linter for linter in LINTERS if not groups or linter.group in groups]


def run(groups: Sequence[str] = ()) -> list[LintResult]:
    """Run each chosen linter in the checkout, also after one has failed. Progress is told through ``labkit.log``."""
    results = []
    for linter in chosen(groups):
        # Raised inside the step, so that it is not announced as done.
        with contextlib.suppress(_HasSomethingToSay), log.step(f"Lint: {linter.name}"):
            results.append(_run_one(linter))
            if not results[-1].ok:
                raise _HasSomethingToSay
    return results


def show(results: Sequence[LintResult]) -> int:
    """Print what the failed ones said, then a line for each; 0 when all are content, 1 otherwise."""
    for result in results:
        if not result.ok:
            print(f"--- {result.name} ---\n{result.output.rstrip()}\n")
    for result in results:
        print(f"{'ok     ' if result.ok else 'FAILED '} {result.name} ({result.seconds:.1f} s)", flush=True)
    return 0 if all(result.ok for result in results) else 1


def _run_one(linter: Linter) -> LintResult:
    started = time.monotonic()
    try:
        done = subprocess.run(
            linter.command,
            cwd=paths.checkout(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST_SECONDS,
            check=False,
        )
        ok, output = done.returncode == 0, done.stdout
    except OSError as error:
        ok, output = False, f"{error}: install the development tools with `pip install -e .[host,dev]`."
    except subprocess.TimeoutExpired:
        ok, output = False, f"It did not end within {LONGEST_SECONDS:.0f} seconds."
    return LintResult(linter.name, ok, time.monotonic() - started, output)


if __name__ == "__main__":
    sys.exit(show(run(sys.argv[1:])))
