from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ConfigError
from labkit.host.lab import paths


def test_the_checkout_holds_the_lab() -> None:
    assert (paths.checkout() / "lab.yaml").is_file()
    assert (paths.checkout() / "tasks.py").is_file()


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "s"))
    assert paths.cache_dir() == tmp_path / "c"
    assert paths.machine_dir("default") == tmp_path / "s" / "machines" / "default"


def test_a_relative_choice_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_CACHE", "here")
    chosen = paths.cache_dir()
    monkeypatch.chdir(tmp_path.parent)
    assert paths.cache_dir() != chosen or chosen.is_absolute()
    assert chosen == tmp_path / "here"


def test_an_empty_choice_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_STATE", "")
    assert paths.state_dir().name == "labkit"


def test_a_package_without_its_checkout_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site-packages/labkit/host/lab/paths.py"))
    with pytest.raises(ConfigError, match="without its checkout") as caught:
        paths.checkout()
    assert "bootstrap.py" in caught.value.hint
