from __future__ import annotations

import pytest

from labkit import __version__
from labkit.runtime.cli.main import VERBS, find, main


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"labkit {__version__}\n"
    assert main([]) == 0
    helped = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb}" in helped


def test_a_verb_that_is_none_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["imges"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["labkit: labkit has no command 'imges'", "hint: did you mean images?"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_and_a_module(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")
    assert "Example" in (find(verb).__doc__ or "")
    assert main([verb, "--help"]) == 0
    assert f"usage: labkit {verb}" in capsys.readouterr().out
