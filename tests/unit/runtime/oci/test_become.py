from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.runtime.oci import become

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it looks for programs as execvp(3) does")


def _file(place: Path, mode: int) -> str:
    place.parent.mkdir(exist_ok=True)
    place.write_text("#!/bin/sh\n")
    place.chmod(mode)
    return str(place)


def test_the_first_that_can_be_executed_is_found(tmp_path: Path) -> None:
    _file(tmp_path / "a/say", 0o644)
    (tmp_path / "b/say").mkdir(parents=True)
    right = _file(tmp_path / "c/say", 0o755)
    _file(tmp_path / "d/say", 0o755)
    path = os.pathsep.join(str(tmp_path / name) for name in ("nowhere", "a", "b", "c", "d"))
    assert become.find("say", path) == right


def test_an_empty_place_in_path_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path / "say", 0o755)
    monkeypatch.chdir(tmp_path)
    assert become.find("say", "/nowhere:") == "./say"


@pytest.mark.parametrize(
    ("name", "words", "status"),
    [
        ("say", 'exec: "say": executable file not found in $PATH', become.NOT_FOUND),
        ("", 'exec: "": executable file not found in $PATH', become.NOT_FOUND),
        ("./no", 'exec: "./no": stat ./no: no such file or directory', become.NOT_FOUND),
        ("./text", 'exec: "./text": permission denied', become.CANNOT_EXECUTE),
        ("./text/x", 'exec: "./text/x": stat ./text/x: not a directory', become.NOT_FOUND),
        ("./directory", 'exec: "./directory": is a directory', become.CANNOT_EXECUTE),
    ],
)
def test_what_is_not_found_is_said_in_runcs_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str, status: int
) -> None:
    _file(tmp_path / "text", 0o644)
    (tmp_path / "directory").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(become.RefusedError) as caught:
        become.find(name, "/nowhere")
    assert (caught.value.message, caught.value.exit_status) == (words, status)


def test_the_trampolines_report_becomes_words() -> None:
    refused = become.refusal_in({"event": "execve", "path": "/x", "errno": "008"})
    assert refused
    assert (refused.message, refused.exit_status) == ("exec /x: exec format error", become.CANNOT_EXECUTE)
    assert become.refusal_in({"event": "ready"}) is None


def test_no_module_can_be_had_any_more(tmp_path: Path) -> None:
    """On the way into a container: a file that lies where Python looks would be the container's."""
    (tmp_path / "bait.py").write_text("print('executed')\n")
    script = "import sys; from labkit.runtime.oci import become; become.take_no_modules(); import os; import bait"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "No module named 'bait'" in done.stderr
