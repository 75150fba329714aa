"""labkit on this very host, below a prefix of the test's own: nothing outside of it is touched."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import BuildError, ConflictError, MissingToolError, NotFoundError, UsageError
from labkit.host.payload import deployed, installation

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers need Linux, and so does their runtime")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small payload: a program that says which containers run."""
    contents = {"bin/labkit": b'#!/bin/sh\ncat "$0.running" 2>/dev/null\n', "lib/labkit/__init__.py": b"value = 1\n"}
    monkeypatch.setattr(deployed, "runtime_code", lambda: dict(contents))
    monkeypatch.setattr(deployed, "vendored", lambda: {"lib/pyroute2/__init__.py": b""})
    return contents


def test_what_was_installed_runs_and_is_taken_away_again(tmp_path: Path, files: dict[str, bytes]) -> None:
    prefix = str(tmp_path / "opt/labkit")
    assert installation.install(prefix) == 3
    assert installation.install(prefix) == 0
    assert subprocess.run([f"{prefix}/bin/labkit", "ps"], capture_output=True).returncode == 1
    files["lib/labkit/__init__.py"] = b"value = 2\n"
    assert installation.install(prefix) == 1
    assert installation.remove_from(prefix) == 3
    assert not (tmp_path / "opt/labkit").exists()
    assert not list(Path(deployed.BIN).glob(f"*{tmp_path.name}*"))


def test_the_real_program_answers_from_its_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    prefix = str(tmp_path / "labkit")
    assert f"{prefix}/bin/labkit" in installation.deploy_or_remove(prefix, remove=False)
    done = subprocess.run([f"{prefix}/bin/labkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("labkit ")
    # Compiled by the interpreter of the launcher: otherwise each start would compile anew.
    assert list((tmp_path / "labkit/lib/labkit/runtime/cli/__pycache__").glob("main.*.pyc"))


def test_an_older_python_is_passed_over_as_the_launchers_do(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu 20.04 has 3.8 at the usual place: what that compiles no program of ours reads."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setattr(installation, "PYTHON", str(old))
    monkeypatch.setattr(installation, "NEWER", sys.executable)
    prefix = tmp_path / "labkit"
    assert installation.install(str(prefix)) == 3
    assert list((prefix / "lib/labkit/__pycache__").glob(f"__init__.{sys.implementation.cache_tag}.pyc"))
    assert (prefix / "lib/labkit.codes").read_bytes().startswith(importlib.util.MAGIC_NUMBER)


def test_what_a_killed_one_has_left_goes_too(tmp_path: Path, files: dict[str, bytes]) -> None:
    prefix = tmp_path / "labkit"
    installation.install(str(prefix))
    (prefix / "lib/labkit.codes.new").touch()
    (prefix / "manifest.json.new").touch()
    (prefix / ".incoming").mkdir()
    installation.remove_from(str(prefix))
    assert not prefix.exists()


def test_another_ones_file_is_left(tmp_path: Path, files: dict[str, bytes]) -> None:
    installation.install(str(tmp_path / "labkit"))
    mine = tmp_path / "labkit/lib/mine.txt"
    mine.touch()
    installation.remove_from(str(tmp_path / "labkit"))
    assert [path for path in (tmp_path / "labkit").rglob("*") if path.is_file()] == [mine]


def test_nothing_is_taken_away_while_containers_run(tmp_path: Path, files: dict[str, bytes]) -> None:
    installation.install(str(tmp_path))
    (tmp_path / "bin/labkit.running").write_text("0123456789ab\n")
    with pytest.raises(ConflictError, match="still runs containers"):
        installation.remove_from(str(tmp_path))
    assert (tmp_path / "lib/labkit/__init__.py").exists()


def test_what_is_not_there_cannot_be_taken_away(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        installation.remove_from(str(tmp_path))


def test_code_that_cannot_be_compiled_changes_nothing(tmp_path: Path, files: dict[str, bytes]) -> None:
    installation.install(str(tmp_path / "labkit"))
    files["lib/labkit/__init__.py"] = b"value =\n"
    with pytest.raises(BuildError, match="invalid syntax") as raised:
        installation.install(str(tmp_path / "labkit"))
    assert "unchanged" in raised.value.hint
    assert (tmp_path / "labkit/lib/labkit/__init__.py").read_text() == "value = 1\n"


def test_what_was_deleted_by_hand_comes_back(tmp_path: Path, files: dict[str, bytes]) -> None:
    installation.install(str(tmp_path))
    (tmp_path / "bin/labkit").unlink()
    (tmp_path / "lib/labkit/__init__.py").unlink()
    files["lib/labkit/new.py"] = b""
    assert installation.install(str(tmp_path)) == 3
    assert (tmp_path / "lib/labkit/__init__.py").read_text() == "value = 1\n"
    (tmp_path / "bin/labkit").unlink()
    assert installation.remove_from(str(tmp_path)) == 4


def test_one_that_dies_half_way_does_not_say_that_nothing_changed(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "lib/labkit/__init__.py/obstacle").mkdir(parents=True)
    with pytest.raises(BuildError, match="directory") as raised:
        installation.install(str(tmp_path))
    assert (tmp_path / "bin/labkit").exists()
    assert "unchanged" not in raised.value.hint
    assert "once more" in raised.value.hint


def test_a_prefix_is_a_directory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for wrong in ("relative", "/", "//", "/usr/..", str(tmp_path / "full"), str(tmp_path / "full/file"), "/usr"):
        with pytest.raises(UsageError, match="--prefix"):
            installation.check_prefix(wrong)
    assert installation.check_prefix(f"{tmp_path}/new/") == f"{tmp_path}/new"


def test_it_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MissingToolError, match="needs root"):
        installation.deploy_or_remove(None, remove=False)
