"""The commands of labkit network are described as the verbs are."""

from __future__ import annotations

from importlib import import_module

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.runtime.cli import verb_network
from labkit.runtime.cli.main import main


@pytest.mark.parametrize("name", verb_network.COMMANDS)
def test_each_has_examples_and_stands_in_the_help(name: str) -> None:
    module = import_module(f"labkit.runtime.cli.network.{name}")
    assert f"  labkit network {name}" in (module.__doc__ or "")
    assert f"  {name} " in (verb_network.__doc__ or "")


def test_help_needs_no_rights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "--help"]) == 0
    assert "repair" in capsys.readouterr().out
