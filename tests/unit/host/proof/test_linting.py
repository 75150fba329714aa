from __future__ import annotations

import sys
from pathlib import Path

import pytest

from labkit import log
from labkit.errors import MissingToolError, UsageError
from labkit.host.proof import linting, testing
from labkit.host.proof.linting import Linter


def test_groups_choose_the_linters() -> None:
    assert [linter.group for linter in linting.chosen(["types"])] == ["types"] * 3
    assert linting.chosen([]) == list(linting.LINTERS)


def test_a_group_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'typos'") as caught:
        linting.chosen(["typos"])
    assert "style, types, imports" in caught.value.hint


def test_every_linter_runs_though_one_before_it_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def python(program: str) -> list[str]:
        return [sys.executable, "-c", program]

    linters = (
        Linter("bad", "x", python("import sys; print('line 3 is wrong', file=sys.stderr); sys.exit(1)")),
        Linter("missing", "x", ["/nonexistent/linter"]),
        Linter("good", "x", python("print('nothing to say')")),
    )
    monkeypatch.setattr(linting, "LINTERS", linters)
    events: list[log.Event] = []
    stop_listening = log.listen(events.append)
    results = linting.run()
    stop_listening()
    assert [result.ok for result in results] == [False, False, True]
    assert [event["ok"] for event in events if event["event"] == "step-end"] == [False, False, True]
    assert linting.show(results) == 1
    shown = capsys.readouterr().out
    assert "line 3 is wrong" in shown
    assert "pip install -e .[host,dev]" in shown
    assert "nothing to say" not in shown
    assert linting.show(results[2:]) == 0


@pytest.mark.parametrize("task", ["lint", "test"])
def test_without_the_development_tools_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    linting.require_tools(task)
    monkeypatch.setitem(linting.TOOLS, task, ("pytest", "no_such_tool"))
    with pytest.raises(MissingToolError, match=r"not installed: no_such_tool\.") as caught:
        testing.lint() if task == "lint" else testing.run_tests()
    assert f"`python3 bootstrap.py --yes {task}`" in caught.value.hint


def test_a_linter_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linting, "LONGEST_SECONDS", 0.2)
    slow = Linter("slow", "x", [sys.executable, "-c", "import time; time.sleep(30)"])
    assert "did not end" in linting._run_one(slow).output


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of empty modules, this project's own, under its own settings."""
    real = linting.paths.checkout()
    settings = (real / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    host = tmp_path / "labkit/host"
    modules = [path.relative_to(real).as_posix() for path in real.glob("labkit/**/*.py")]
    for name in ("tasks.py", "bootstrap.py", *modules):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('"""Here."""\n', encoding="utf-8")
    monkeypatch.setattr(linting.paths, "checkout", lambda: tmp_path)
    return host


def verdicts(*groups: str) -> dict[str, bool]:
    return {result.name: result.ok for result in linting.run(groups)}


def test_the_real_linters_see_what_they_are_there_for(checkout: Path) -> None:
    (checkout / "bad.py").write_text(
        '"""Calls what Windows does not have, imports a layer that does not exist there, and is ugly."""\n\n'
        "import os\nfrom labkit import runtime\n\n\ndef who( ) -> int:\n    return os.getuid()\n",
        encoding="utf-8",
    )
    assert verdicts() == {
        "ruff check": False,
        "ruff format": False,
        "mypy, everything on linux": True,
        "mypy, host side on win32": False,
        "mypy, host side on darwin": True,
        "import contracts": False,
    }


def test_the_real_linters_are_content_with_a_good_checkout(checkout: Path) -> None:
    assert [result for result in linting.run() if not result.ok] == []
