"""The commands of labkit network are described as the verbs are."""

from __future__ import annotations

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.runtime.cli import verb_network
from labkit.runtime.cli.main import main
from labkit.runtime.network.reading import Neighbour, Route
from labkit.runtime.network.watching import Event


@pytest.mark.parametrize("name", [command.__name__ for command in verb_network._ALL])
def test_each_has_examples_and_stands_in_the_help(name: str) -> None:
    assert f"  labkit network {name}" in (verb_network.COMMANDS[name].__doc__ or "")
    assert f"  {name} " in (verb_network.network.__doc__ or "")


def test_help_needs_no_rights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "--help"]) == 0
    assert "repair" in capsys.readouterr().out


def test_a_watch_shows_a_line_for_each_event_and_colours_only_where_they_are_wanted() -> None:
    plain = verb_network._line(Event(0.0075, "gone", "labkit-1", Route("eth0", "default", "10.77.0.1", "")), False)
    assert plain.partition(".")[2] == "007 - route     default via 10.77.0.1 dev eth0   in labkit-1"
    coloured = verb_network._line(Event(0.0, "new", "", Neighbour("labkit0", "10.77.0.2", "")), True)
    assert coloured.partition(" ")[2] == "\033[32m+ neighbour 10.77.0.2 is not known dev labkit0\033[0m"
