"""Remembers what was played, so that a run that Ctrl-C ended goes on where it stopped.

A record is a directory named by a digest of *what is tested*: labkit's code, the lessons, lab.yaml, QEMU's version. So
a changed checkout finds no record and begins anew. It holds ``results.jsonl`` (a line for each lesson as it ends), each
lesson's junit file and each cell's log. When a run has come to its end the file ``ended`` is put beside them: the next
run begins anew then, too.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

from labkit.errors import InfrastructureError
from labkit.host.lab import paths
from labkit.host.lab.matrixsection import Cell
from labkit.host.matrix.verdict import Result
from labkit.host.payload.deployed import files_below

RESULTS, ENDED = "results.jsonl", "ended"
_OURS = (RESULTS, ENDED, "*.xml", "*.log")
"""What a record's directory holds: all that is ever deleted in it."""


class Entry(NamedTuple):
    """One lesson's result, and on which boot of the cell it came about: a line of the record."""

    cell: str
    facts: dict[str, str]
    boot_seconds: float
    result: Result


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

    def add(self, cell: Cell, facts: dict[str, str], boot_seconds: float, result: Result) -> None:
        """One more result. ``facts`` is what the machine said of itself."""
        value = Entry(str(cell), facts, boot_seconds, result)._asdict() | {"result": result.as_dict()}
        with self._lock, open(self.directory / RESULTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")

    def entries(self, cell: Cell) -> dict[str, Entry]:
        """Lesson -> what was recorded for it in this cell. A line that a killed run left torn is no line."""
        found: dict[str, Entry] = {}
        try:
            lines = (self.directory / RESULTS).read_text(encoding="utf-8").splitlines()
        except OSError:
            return {}
        for line in lines:
            entry = _entry(line)
            if entry and entry.cell == str(cell):
                found[entry.result.lesson] = entry
        return found

    def junit(self, cell: Cell, lesson: str) -> Path:
        """Where the lesson's junit file is."""
        return self.directory / f"{cell.machine}.{lesson}.xml"

    def log(self, cell: Cell) -> Path:
        """Where is kept what the cell's programs said."""
        return self.directory / f"{cell.machine}.log"

    def end(self) -> None:
        """The run has come to its end."""
        (self.directory / ENDED).touch()


def _entry(line: str) -> Entry | None:
    try:
        value: dict[str, Any] = json.loads(line)
        result = Result.from_dict(value["result"])
        return Entry(value["cell"], dict(value["facts"]), float(value["boot_seconds"]), result)
    except (ValueError, TypeError, KeyError):
        return None


def _delete(directory: Path) -> None:
    """A record: only the files that it is made of, so that a directory that is none loses nothing."""
    for pattern in _OURS:
        for file in directory.glob(pattern):
            file.unlink()
    if not any(directory.iterdir()):
        directory.rmdir()
