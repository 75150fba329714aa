"""Lessons: a README.md that is played in a machine, and the checks beside it that prove what it says.

Three words: a *lesson* is what is read (``invoke scenario NAME`` finds it in ``scenarios/NAME/``); a *played lesson* is
one on a machine, with what its steps have printed; the *stage* is machine, audience and what came of the run.

``parser`` reads it, ``player`` plays it through ``shell``, ``compare`` compares what came, ``plugin`` makes pytest
items of it, ``narrator`` tells it, ``backend`` gives the checks their machine, ``needs`` says what a kernel lacks.
"""

from __future__ import annotations

from labkit.host.scenario.model import Lesson
from labkit.host.scenario.player import PlayedLesson
from labkit.host.scenario.plugin import after
from labkit.host.scenario.run import catalogue, find, library, report_file, run

__all__ = ["Lesson", "PlayedLesson", "after", "catalogue", "find", "library", "report_file", "run"]
