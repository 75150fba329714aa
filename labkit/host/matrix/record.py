"""Remembers what was played, so that a run that Ctrl-C ended goes on where it stopped.

A record is a directory named by a digest of *what is tested*: labkit's code, the lessons, lab.yaml, QEMU's version. So
a changed checkout finds no record and begins anew. It holds ``results.jsonl`` (a line for each lesson as it ends), each
lesson's junit file and each cell's log. When a run has come to its end the file ``ended`` is put beside them: the next
run begins anew then, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labkit.errors import InfrastructureError
from labkit.host.lab import paths
from labkit.host.lab.matrixsection import Cell
from labkit.host.matrix.verdict import Result, Verdict, worst
from labkit.host.payload.deployed import files_below

RESULTS, ENDED = "results.jsonl", "ended"
_OURS = (RESULTS, ENDED, "*.xml", "*.log")
"""What a record's directory holds: all that is ever deleted in it."""


@dataclass
class CellRun:
    """What is known of one cell while it is played, and afterwards. Other threads may read it at any time."""

    cell: Cell
    lessons: tuple[str, ...]
    """Those to be played or already recorded, in order."""
    results: dict[str, Result] = field(default_factory=dict)
    """By the lesson's name."""
    facts: dict[str, str] = field(default_factory=dict)
    """What the machine said of itself when it was up: ``kernel`` (its release), ``accelerator``."""
    boot_seconds: float = 0.0
    """Of the last boot, the start of the program and the snapshot included."""
    activity: str = ""
    """What is going on now: ``boot`` or a lesson's name; nothing before and afterwards."""
    activity_began: float = 0.0

    @property
    def todo(self) -> list[str]:
        """What has not been played yet."""
        return [lesson for lesson in self.lessons if lesson not in self.results]

    @property
    def played(self) -> list[Result]:
        """What came of it, in order."""
        return [self.results[lesson] for lesson in self.lessons if lesson in self.results]

    @property
    def verdict(self) -> Verdict:
        """On all lessons together."""
        return worst(result.verdict for result in self.played)

    @property
    def seconds(self) -> float:
        """Boot and lessons."""
        return self.boot_seconds + sum(result.seconds for result in self.played)

    def begin(self, activity: str) -> None:
        """Something else is going on from now on."""
        self.activity, self.activity_began = activity, time.monotonic()


def digest(lessons: Path, lab_yaml: Path, qemu_version: str) -> str:
    """16 hexadecimal digits: the same for the same lab, lessons and QEMU."""
    whole = hashlib.sha256(qemu_version.encode())
    for top in (paths.checkout() / "labkit", lessons):
        for name, path in files_below(top):
            whole.update(f"\0{top.name}/{name}\0".encode())
            whole.update(path.read_bytes())
    whole.update(lab_yaml.read_bytes())
    return whole.hexdigest()[:16]


class Record:
    """What is known of one run. May be used by several threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, parent: Path, key: str, *, fresh: bool = False) -> Record:
        """The record of what has this digest; those of anything else are deleted.

        It is empty where there was none, where the last run came to its end, and where ``fresh`` says so.
        """
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for other in parent.iterdir():
                if other.is_dir() and (other.name != key or fresh or (other / ENDED).exists()):
                    _delete(other)
            (parent / key).mkdir(exist_ok=True)
        except OSError as error:
            reason = f"The record of the matrix cannot be kept in {parent}: {error.strerror}."
            raise InfrastructureError(reason, "LABKIT_STATE chooses another directory.") from error
        return cls(parent / key)

    def add(self, run: CellRun, result: Result) -> None:
        """One more result, and on which boot of the cell it came about."""
        value = {"cell": str(run.cell), "facts": run.facts, "boot_seconds": run.boot_seconds, "result": asdict(result)}
        with self._lock, open(self.directory / RESULTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")

    def recall(self, run: CellRun) -> CellRun:
        """Fill in what an interrupted run has recorded of this cell. A line that it left torn is no line."""
        try:
            lines = (self.directory / RESULTS).read_text(encoding="utf-8").splitlines()
        except OSError:
            return run
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                value = json.loads(line)
                result, facts, seconds = Result.from_dict(value["result"]), dict(value["facts"]), value["boot_seconds"]
                if value["cell"] == str(run.cell) and result.lesson in run.lessons:
                    run.results[result.lesson], run.facts, run.boot_seconds = result, facts, float(seconds)
        return run

    def junit(self, cell: Cell, lesson: str) -> Path:
        """Where the lesson's junit file is."""
        return self.directory / f"{cell.machine}.{lesson}.xml"

    def log(self, cell: Cell) -> Path:
        """Where is kept what the cell's programs said."""
        return self.directory / f"{cell.machine}.log"

    def end(self) -> None:
        """The run has come to its end."""
        (self.directory / ENDED).touch()


def _delete(directory: Path) -> None:
    """A record: only the files that it is made of, so that a directory that is none loses nothing."""
    for pattern in _OURS:
        for file in directory.glob(pattern):
            file.unlink()
    if not any(directory.iterdir()):
        directory.rmdir()
