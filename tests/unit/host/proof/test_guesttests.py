from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshserver import ShellServer

from labkit.errors import InfrastructureError
from labkit.host.matrix.verdict import read_junit
from labkit.host.proof import guesttests


def test_the_archive_alone_runs_the_tests(tmp_path: Path) -> None:
    """As in the machine: an interpreter without site-packages (-S), and only what was carried."""
    with tarfile.open(fileobj=io.BytesIO(guesttests.archive())) as tar:
        names = tar.getnames()
        # Debian 12's Python (3.11.2) has no filters yet, and 3.14 wants one.
        tar.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    assert "pyproject.toml" in names
    assert all(name.split("/")[0] in {"pyproject.toml", "tests", "site"} for name in names)
    (tmp_path / "tests/of-pytest").mkdir()  # The guest's own tests want root.
    (tmp_path / "tests/of-pytest/test_it.py").write_text("def test_a(): pass\ndef test_b(): assert {1: 2} == {1: 3}\n")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pytest", "-p", "no:cacheprovider", "--color=yes", "tests/of-pytest"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "timeout: 600" in done.stdout  # pytest-timeout came along and was found


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShellServer]:
    """A machine, as far as these tests look: a shell behind SSH, and a directory in it. Its checkout has two tests."""
    checkout = tmp_path / "checkout"
    (checkout / "tests/guest").mkdir(parents=True)
    (checkout / "pyproject.toml").write_text("[tool.pytest.ini_options]\ntimeout = 30\n", encoding="utf-8")
    (checkout / "tests/guest/test_it.py").write_bytes(b"def test_a(): pass\r\ndef test_b(): assert 1 == 2\r\n")
    monkeypatch.setattr(guesttests.paths, "checkout", lambda: checkout)
    monkeypatch.setattr(guesttests, "DIRECTORY_IN_MACHINE", str(tmp_path / "there"))
    with ShellServer() as server:
        yield server


ONLY_POSIX = pytest.mark.skipif(os.name != "posix", reason="what is there to connect to is a POSIX shell")


@ONLY_POSIX
def test_tests_are_carried_over_one_connection_and_their_report_comes_back(
    guest: ShellServer, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = guest.connection()
    guesttests.send(connection)
    guesttests.send(connection)  # in place of the first
    status, report = guesttests.run_in_machine(connection, ["--color=no", "-k", "test_a or test_b"])
    assert status == 1
    found = read_junit(report)
    assert (found.passed, found.failed) == (1, 1)
    assert "1 failed, 1 passed" in capsys.readouterr().out


@ONLY_POSIX
def test_a_machine_without_room_is_not_a_failed_test(
    guest: ShellServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").touch()
    monkeypatch.setattr(guesttests, "DIRECTORY_IN_MACHINE", str(tmp_path / "there/below-a-file"))
    with pytest.raises(InfrastructureError, match="could not be carried"):
        guesttests.send(guest.connection())


@ONLY_POSIX
def test_a_connection_that_breaks_is_not_a_failed_test(guest: ShellServer) -> None:
    guest.cut_after = 50_000
    with pytest.raises(InfrastructureError, match=r"connection to the machine ended|was lost"):
        guesttests.send(guest.connection())
