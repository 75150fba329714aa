"""Which lessons there are: every directory of ``scenarios`` with a README.md."""

from __future__ import annotations

from pathlib import Path

from labkit.host.lab.names import not_found
from labkit.host.lab.paths import checkout
from labkit.host.scenario import parser
from labkit.host.scenario.model import Lesson


def directory() -> Path:
    """Where the lessons are."""
    return checkout() / "scenarios"


def catalogue(place: Path | None = None) -> list[Lesson]:
    """All lessons, by name. ConfigError where one does not parse."""
    return [parser.read(readme) for readme in sorted((place or directory()).glob("*/README.md"))]


def find(name: str, place: Path | None = None) -> Lesson:
    """The lesson called ``name``. NotFoundError with the nearest names."""
    readmes = {readme.parent.name: readme for readme in (place or directory()).glob("*/README.md")}
    if name not in readmes:
        raise not_found("scenario", name, readmes)
    return parser.read(readmes[name])


def following(lesson: Lesson, place: Path | None = None) -> Lesson | None:
    """The lesson after this one in the catalogue; None after the last."""
    return next((other for other in catalogue(place) if other.name > lesson.name), None)
