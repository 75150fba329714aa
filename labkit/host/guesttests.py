"""The guest's tests (``tests/guest``) in the two places where they run: a test host, and the machine.

They make bridges, firewall rules, mounts and control groups as root, which nobody wants on a computer that is used for
something else. So on a Linux computer they run in a **test host**: mount, network and process namespaces of their own,
where ``/var/lib/labkit`` and ``/run/labkit`` are empty, the loopback device is the only one, and every process that a
test leaves behind dies with the first one (pid_namespaces(7)). What the computer's kernel does not have (modules,
control group v2) is tested in the **machine**, to which pytest is carried over the one SSH connection, as a tar: it is
pure Python, and the machine has no network.
"""

from __future__ import annotations

import codecs
import importlib.metadata
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import fabric
import paramiko

from labkit.errors import InfrastructureError, MissingToolError
from labkit.host import paths, payload

TESTS = "tests/guest"

OWN_DIRECTORIES = ("/var/lib/labkit", "/run/labkit", "/run/netns")
"""Where labkit and ``ip netns`` keep their state: a tmpfs each in the test host."""

DIRECTORY_IN_MACHINE = "/opt/labkit-tests"

CARRIED = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "pytest-timeout")
"""pytest and what it needs on Python 3.11 (its metadata names them); tests/unit/host/test_guesttests.py starts it."""

LEXERS = ("__init__.py", "_mapping.py", "diff.py", "python.py")
"""Of pygments' 250 lexers pytest uses two; the others are three quarters of all that would be carried."""

LONGEST_SILENCE = 900.0
"""Seconds in which the machine's pytest says nothing. A single test has a limit too: pyproject.toml's ``timeout``."""

_ENTER = """
ip link set lo up
for directory in {directories}; do mount -t tmpfs -o mode=0755 labkit-tests "$directory"; done
"$@"
exit $?
"""
# ("exit $?" keeps the shell: it is process 1 of the test host and reaps the orphans there, which pytest would not.)


def why_no_test_host() -> str | None:
    """What keeps this computer from giving a test host; None when it can. Tried, not guessed: user and capabilities
    tell too little in containers and under security modules.
    """
    if sys.platform != "linux":
        return f"the test host is made of Linux namespaces, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "only root can make the test host (run `sudo .venv/bin/invoke test --only guest`)"
    for program in ("unshare", "ip", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    tried = subprocess.run(
        _in_namespaces(["sh", "-euc", "ip link set lo up; mount -t tmpfs labkit-tests /mnt"]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return None if tried.returncode == 0 else f"unshare does not work here: {tried.stderr.strip()}"


def in_test_host(command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` in a test host. The directories of ``OWN_DIRECTORIES`` must exist."""
    script = _ENTER.format(directories=" ".join(OWN_DIRECTORIES))
    return _in_namespaces(["sh", "-euc", script, "test-host", *command])


def _in_namespaces(command: Sequence[str]) -> list[str]:
    options = ["--mount", "--net", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *options, "--", *command]


class MountPoints:
    """The directories that the test host covers, made where they are missing and removed again afterwards."""

    def __init__(self, directories: Sequence[str] = OWN_DIRECTORIES) -> None:
        self._wanted = [Path(directory) for directory in directories]
        self._made: list[Path] = []

    def __enter__(self) -> None:
        for directory in self._wanted:
            if not directory.exists():
                directory.mkdir(parents=True)
                self._made.append(directory)

    def __exit__(self, *_: object) -> None:
        for directory in self._made:
            # Someone else may use it by now (`ip netns add` on this very computer): then it stays.
            if not any(directory.iterdir()):
                directory.rmdir()


def archive() -> bytes:
    """A tar (gzip) of the guest's tests, pytest's settings and pytest itself, to unpack in ``DIRECTORY_IN_MACHINE``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as tar:
        for name, path in [*_tests(paths.checkout()), *_packages()]:
            contents = path.read_bytes()
            if b"\0" not in contents:
                contents = contents.replace(b"\r\n", b"\n")  # A checkout on Windows.
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(contents), 0o755 if contents.startswith(b"#!") else 0o644
            tar.addfile(member, io.BytesIO(contents))
    return buffer.getvalue()


def _tests(root: Path) -> Iterator[tuple[str, Path]]:
    """The test files and the settings: name in the archive, path here."""
    yield "pyproject.toml", root / "pyproject.toml"
    if (root / "tests/conftest.py").is_file():
        yield "tests/conftest.py", root / "tests/conftest.py"
    for path in sorted((root / TESTS).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root).as_posix(), path


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
    status, said = _remotely(connection, f"rm -rf {where} && mkdir -p {where} && tar -xzf - -C {where}", archive())
    if status != 0:
        reason = said.decode(errors="replace").strip()
        raise InfrastructureError(
            f"The tests could not be carried into the machine (status {status}): {reason}",
            "Look whether its disk is full: `invoke ssh -c 'df -h'`.",
        )


def run_in_machine(connection: fabric.Connection, pytest_arguments: Sequence[str]) -> tuple[int, bytes]:
    """Run the tests that ``send`` put there: pytest's exit status, and its JUnit report (empty if it wrote none).

    What pytest says is passed on to standard output as it comes.
    """
    where = DIRECTORY_IN_MACHINE
    environment = f"PYTHONPATH={where}/site:{payload.PREFIX}/lib"
    arguments = shlex.join(["-p", "no:cacheprovider", "--junitxml=report.xml", *pytest_arguments, TESTS])
    command = f"cd {where} && rm -f report.xml && {environment} python3 -m pytest {arguments}"
    status, _ = _remotely(connection, command, show=True)
    missing, report = _remotely(connection, f"cat {where}/report.xml")
    return status, b"" if missing else report


def _remotely(
    connection: fabric.Connection, command: str, given: bytes = b"", *, show: bool = False
) -> tuple[int, bytes]:
    """Run ``command`` in the machine: its exit status, and what it said on standard output and error.

    ``given`` is its standard input, which ends then. Through a channel of its own, since fabric's ``run`` takes text
    only and leaves standard input open.
    """
    heard = bytearray()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # A chunk may end within a character.
    try:
        connection.open()
        with connection.transport.open_session(timeout=60) as channel:
            channel.settimeout(LONGEST_SILENCE)
            channel.set_combine_stderr(True)
            channel.exec_command(command)
            channel.sendall(given)
            channel.shutdown_write()
            while chunk := channel.recv(65536):
                heard += chunk
                if show:
                    sys.stdout.write(decoder.decode(chunk))
                    sys.stdout.flush()
            status = channel.recv_exit_status()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise InfrastructureError(
            f"The connection to the machine ended while `{command.split()[0]} …` ran: {error or type(error).__name__}.",
            "Look at its console: `invoke logs`.",
        ) from error
    if status < 0:  # paramiko's way to say that none came
        raise InfrastructureError("The machine was lost while its tests ran.", "Look at its console: `invoke logs`.")
    return status, bytes(heard)
