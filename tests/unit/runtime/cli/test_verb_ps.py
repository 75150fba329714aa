from __future__ import annotations

import pytest

from labkit.errors import ConfigError
from labkit.runtime.cli import verb_ps
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.images import imagestore

CONTAINER = Container("0" * 64, "box", "odd:latest", "f" * 64, ["sh"], 1.0, Options("odd"))


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that were read from the disk, each of which is damaged."""
    names: list[str] = []

    def find(name: str) -> imagestore.Image:
        names.append(name)
        raise ConfigError(f"{name} cannot be read")

    monkeypatch.setattr(imagestore, "find", find)
    monkeypatch.setattr(verb_ps, "_images", {})
    return names


def test_an_image_that_is_damaged_does_not_hide_the_containers(asked: list[str]) -> None:
    for _ in range(2):
        fields = verb_ps._fields(CONTAINER, State("running", 1, 2), whole=False, size=True)
        assert (fields["Names"], fields["Ports"]) == ("box", "")
        assert "virtual" in fields["Size"]
    assert asked == [CONTAINER.image]


def test_the_image_of_one_that_has_ended_is_not_read(asked: list[str]) -> None:
    assert verb_ps._fields(CONTAINER, State("exited", 0, 0), whole=False, size=False)["State"] == "exited"
    assert asked == []
