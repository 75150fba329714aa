"""Lessons: a README.md that is played in a machine, and the checks beside it that prove what it says.

``parser`` reads it, ``player`` plays it through ``shell``, ``compare`` compares what came, ``plugin`` makes pytest
items of it, ``narrator`` tells it, ``backend`` gives the checks their machine, ``needs`` says what a kernel lacks.
"""

from __future__ import annotations

from labkit.host.scenario.library import catalogue, find
from labkit.host.scenario.model import Scenario
from labkit.host.scenario.player import Lesson
from labkit.host.scenario.plugin import after
from labkit.host.scenario.run import run

__all__ = ["Lesson", "Scenario", "after", "catalogue", "find", "run"]
