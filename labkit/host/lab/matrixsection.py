"""lab.yaml's section ``matrix:``: which cells there are, and what is expected to be lacking in which of them, and why.

A *cell* is a kernel with a cgroup version and an iptables back end, written ``6.1,v2,nft``. It is a machine, too,
called ``cell-6.1-v2-nft``: `invoke up --machine cell-6.1-v2-nft` is for whoever wants to look at what went wrong there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from labkit.errors import ConfigError, NotFoundError, UsageError
from labkit.host.lab.names import did_you_mean, not_found, suggestion
from labkit.host.lab.yamlmarks import Value

CGROUPS = ("v2", "v1", "hybrid")
IPTABLES = ("nft", "legacy")
MACHINE_PREFIX = "cell-"


class Cell(NamedTuple):
    """One machine's choices at boot."""

    kernel: str
    cgroup: str
    iptables: str

    def __str__(self) -> str:
        """As it is typed: ``6.1,v2,nft``."""
        return ",".join(self)

    @property
    def machine(self) -> str:
        """What its machine is called."""
        return MACHINE_PREFIX + "-".join(self)


@dataclass(frozen=True)
class ExpectedLack:
    """What certain cells' kernels do not have, and why: an entry of ``lacking:``. An empty tuple stands for all."""

    needs: tuple[str, ...]
    why: str
    kernels: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    iptables: tuple[str, ...] = ()
    place: str = ""
    """``FILE:LINE``, for messages."""

    def concerns(self, cell: Cell) -> bool:
        """Whether this is expected in that cell."""
        chosen = (self.kernels, self.cgroups, self.iptables)
        return all(not words or word in words for word, words in zip(cell, chosen, strict=True))


@dataclass(frozen=True)
class Matrix:
    """The section. Without one there are no cells."""

    cells: tuple[Cell, ...] = ()
    """All, in lab.yaml's order: the kernels' first, then the cgroup versions', then the back ends'."""
    ci: tuple[Cell, ...] = ()
    """Those that are played for each change."""
    lacking: tuple[ExpectedLack, ...] = ()

    def expected(self, cell: Cell) -> dict[str, ExpectedLack]:
        """What is expected to be lacking in ``cell``, by the need's name."""
        return {need: lack for lack in self.lacking if lack.concerns(cell) for need in lack.needs}

    def cell(self, text: str) -> Cell:
        """The cell that is called ``text`` (``6.1,v2,nft``, or its machine's name).

        UsageError where the words are not three, NotFoundError with the nearest names where a word is not known.
        """
        for cell in self.cells:
            if text in (str(cell), cell.machine):
                return cell
        words = text.split(",")
        if len(words) != 3:
            example = f", for instance {self.cells[0]}" if self.cells else ""
            raise UsageError(
                f"“{text}” is no cell of the matrix.",
                f"A cell is KERNEL,CGROUP,IPTABLES{example}; `invoke matrix --list` shows all.",
            )
        for kind, word, known in zip(("kernel", "cgroup mode", "iptables back end"), words, self._axes(), strict=True):
            if word not in known:
                raise not_found(f"{kind} of the matrix", word, known)
        raise AssertionError("the cells are the product of the three")

    def no_such_machine(self, name: str) -> NotFoundError:
        """The error for a name that looks like a cell's machine. All names would be too many to read."""
        near = did_you_mean(name, [cell.machine for cell in self.cells])
        return NotFoundError(f"There is no machine called “{name}”.", f"{near}`invoke matrix --list` shows all cells.")

    def check_needs(self, known: Iterable[str]) -> None:
        """ConfigError, with file and line, where ``lacking:`` names a need that there is not."""
        names = list(known)
        for lack in self.lacking:
            for need in lack.needs:
                if need not in names:
                    raise ConfigError(f"{lack.place}: there is no need called “{need}”.", suggestion(need, names))

    def _axes(self) -> list[list[str]]:
        """The words of each of the three, in order."""
        return [list(dict.fromkeys(cell[axis] for cell in self.cells)) for axis in range(3)]


KEYS = ("kernels", "cgroups", "iptables", "machine", "ci", "lacking")
"""What the section may hold. ``machine`` is read by config.py: it has keys that every machine has."""

_LACKING_KEYS = ("needs", "why", "kernels", "cgroups", "iptables")


def read(value: Value, kernels: Mapping[str, object]) -> Matrix:
    """The section; ``kernels`` are those of lab.yaml. ConfigError with file and line where it is not right."""
    members = value.mapping("a mapping", KEYS, required=("kernels", "cgroups", "iptables"))
    cells = tuple(
        Cell(kernel, cgroup, iptables)
        for kernel in members["kernels"].choices(kernels)
        for cgroup in members["cgroups"].choices(CGROUPS)
        for iptables in members["iptables"].choices(IPTABLES)
    )
    matrix = Matrix(cells)
    names = [str(cell) for cell in cells]
    ci = tuple(matrix.cell(name) for name in members["ci"].choices(names)) if "ci" in members else ()
    lacking = tuple(_lack(entry, matrix) for entry in members["lacking"].items()) if "lacking" in members else ()
    return Matrix(cells, ci, lacking)


def _lack(value: Value, matrix: Matrix) -> ExpectedLack:
    """One entry of ``lacking:``."""
    members = value.mapping("a mapping", _LACKING_KEYS, required=("needs", "why"))
    chosen = {
        key: members[key].choices(known)
        for key, known in zip(("kernels", "cgroups", "iptables"), matrix._axes(), strict=True)
        if key in members
    }
    return ExpectedLack(
        needs=tuple(need.text() for need in members["needs"].items()),
        why=members["why"].text(),
        place=f"{value.file}:{value.line}",
        **chosen,
    )
