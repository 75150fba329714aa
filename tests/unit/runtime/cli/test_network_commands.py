"""The commands of labkit network and labkit volume are described as the verbs are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.runtime.cli import verb_network, verb_volume
from labkit.runtime.cli.main import main
from labkit.runtime.network.reading import Neighbour, Route
from labkit.runtime.network.watching import Event


@pytest.mark.parametrize("verb", [verb_network.network, verb_volume.volume], ids=lambda verb: str(verb.__name__))
def test_each_has_examples_and_stands_in_the_help(verb: Callable[..., int]) -> None:
    commands = {verb_network.network: verb_network.COMMANDS, verb_volume.volume: verb_volume.COMMANDS}[verb]
    for command in commands:
        assert f"  labkit {verb.__name__} {command.__name__}" in (command.__doc__ or "")
        assert f"  {command.__name__} " in (verb.__doc__ or "")


def test_help_needs_no_rights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "--help"]) == 0
    assert "repair" in capsys.readouterr().out


def test_a_watch_shows_a_line_for_each_event_and_colours_only_where_they_are_wanted() -> None:
    plain = verb_network._line(Event(0.0075, "gone", "labkit-1", Route("eth0", "default", "10.77.0.1", "")), False)
    assert plain.partition(".")[2] == "007 - route     default via 10.77.0.1 dev eth0   in labkit-1"
    coloured = verb_network._line(Event(0.0, "new", "", Neighbour("labkit0", "10.77.0.2", "")), True)
    assert coloured.partition(" ")[2] == "\033[32m+ neighbour 10.77.0.2 is not known dev labkit0\033[0m"
