"""The guest's tests (``tests/guest``), carried into the machine and run there.

On a Linux computer they also run in a test host (``labkit.host.proof.testhost``), which is quicker; what its kernel
does not have (modules, control group v2) is tested in the machine only. pytest goes there over the one SSH connection,
as a tar: it is pure Python, and the machine has no network.
"""

from __future__ import annotations

import codecs
import importlib.metadata
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import fabric

from labkit.errors import InfrastructureError, MissingToolError
from labkit.host.lab import paths
from labkit.host.payload import deployed
from labkit.host.wire.ssh import execute

TESTS = "tests/guest"

DIRECTORY_IN_MACHINE = "/opt/labkit-tests"

CARRIED = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "pytest-timeout")
"""pytest and what it needs on Python 3.11 (its metadata names them); a test of this module starts it."""

LEXERS = ("__init__.py", "_mapping.py", "diff.py", "python.py")
"""Of pygments' 250 lexers pytest uses two; the others are three quarters of all that would be carried."""

LONGEST_SILENCE = 900.0
"""Seconds in which the machine's pytest says nothing. A single test has a limit too: pyproject.toml's ``timeout``."""


def archive() -> bytes:
    """A tar (gzip) of the guest's tests, pytest's settings and pytest itself, to unpack in ``DIRECTORY_IN_MACHINE``."""
    files = {name: deployed.with_lf(path.read_bytes()) for name, path in [*_tests(paths.checkout()), *_packages()]}
    return deployed.pack(files, [name for name, contents in files.items() if contents.startswith(b"#!")], compression=6)


def _tests(root: Path) -> Iterator[tuple[str, Path]]:
    """The test files and the settings: name in the archive, path here."""
    yield "pyproject.toml", root / "pyproject.toml"
    if (root / "tests/conftest.py").is_file():
        yield "tests/conftest.py", root / "tests/conftest.py"
    for name, path in deployed.files_below(root / TESTS):
        yield f"{TESTS}/{name}", path


def _packages() -> Iterator[tuple[str, Path]]:
    """The modules of ``CARRIED``, and the metadata by which pytest finds its plugins."""
    for name in CARRIED:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            raise MissingToolError(
                f"{name}, which the machine's tests need, is not in this Python environment.",
                "Install the development tools: `.venv/bin/pip install -e .[host,dev]`.",
            ) from None
        for file in files:
            inside = PurePosixPath(file.as_posix())
            is_metadata = inside.parent.suffix == ".dist-info" and inside.name in ("METADATA", "entry_points.txt")
            is_needed = inside.suffix == ".py" and not (
                inside.parts[:2] == ("pygments", "lexers") and inside.name not in LEXERS
            )
            if is_metadata or (is_needed and ".." not in inside.parts):
                yield f"site/{inside}", Path(str(file.locate()))


def send(connection: fabric.Connection) -> None:
    """Unpack the archive in the machine, in place of an earlier one."""
    where = DIRECTORY_IN_MACHINE
    command = f"rm -rf {where} && mkdir -p {where} && tar -xzf - -C {where}"
    status, _, stderr = execute(connection, command, archive())
    if status != 0:
        reason = stderr.decode(errors="replace").strip()
        raise InfrastructureError(
            f"The tests could not be carried into the machine (status {status}): {reason}",
            "Look whether its disk is full: `invoke ssh -c 'df -h'`.",
        )


def run_in_machine(connection: fabric.Connection, pytest_arguments: Sequence[str]) -> tuple[int, bytes]:
    """Run the tests that ``send`` put there: pytest's exit status, and its JUnit report (empty if it wrote none).

    What pytest says is passed on to standard output as it comes. InfrastructureError where the machine is lost.
    """
    where = DIRECTORY_IN_MACHINE
    environment = f"PYTHONPATH={where}/site:{deployed.PREFIX}/lib"
    arguments = shlex.join(["-p", "no:cacheprovider", "--junitxml=report.xml", *pytest_arguments, TESTS])
    command = f"cd {where} && rm -f report.xml && {environment} python3 -m pytest {arguments}"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # A chunk may end within a character.

    def show(chunk: bytes) -> None:
        sys.stdout.write(decoder.decode(chunk))
        sys.stdout.flush()

    status, _, _ = execute(connection, command, timeout=LONGEST_SILENCE, tell=show)
    missing, report, _ = execute(connection, f"cat {where}/report.xml")
    return status, b"" if missing else report
