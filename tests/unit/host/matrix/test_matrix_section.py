from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ConfigError, NotFoundError, UsageError
from labkit.host.lab import config
from labkit.host.lab.config import Lab, MachineConfig
from labkit.host.lab.matrixsection import Cell
from labkit.host.scenario.needs import NEEDS

KERNELS = "machines: {d: }\nkernels:\n  5.10: {suite: s, package: p}\n  6.1: {suite: t, package: q}\n"
AXES = "  kernels: [5.10, 6.1]\n  cgroups: [v1, v2]\n  iptables: [nft, legacy]\n"


def load(tmp_path: Path, section: str) -> Lab:
    file = tmp_path / "lab.yaml"
    file.write_text(f"{KERNELS}matrix:\n{section}", encoding="utf-8")
    return config.load(file)


def test_the_matrix_of_the_checkout() -> None:
    lab = config.load()
    lab.matrix.check_needs(NEEDS)
    assert lab.matrix.ci
    assert set(lab.matrix.ci) < set(lab.matrix.cells)
    for cell in lab.matrix.cells:
        machine = lab.machine(cell.machine)
        assert (machine.kernel, machine.cgroup, machine.iptables) == (cell.kernel, cell.cgroup, cell.iptables)
        assert "aufs" in lab.matrix.expected(cell)


def test_cells_are_the_product() -> None:
    cells = config.load().matrix.cells
    assert len(set(cells)) == len(cells)
    assert {(cell.cgroup, cell.iptables) for cell in cells} == {
        (cgroup, iptables) for cgroup in ("v1", "hybrid", "v2") for iptables in ("nft", "legacy")
    }


def test_a_cell_is_a_machine(tmp_path: Path) -> None:
    settings = "  machine: {memory: 2 GiB, options: {kernel-parameters: module_blacklist=overlay}}\n"
    lab = load(tmp_path, AXES + settings)
    assert lab.matrix.cells[0] == Cell("5.10", "v1", "nft")
    wanted = MachineConfig(
        "cell-5.10-v2-legacy",
        kernel="5.10",
        cgroup="v2",
        iptables="legacy",
        memory_mib=2048,
        options={"kernel-parameters": "module_blacklist=overlay"},
    )
    assert lab.machine("cell-5.10-v2-legacy") == wanted
    assert lab.matrix.cell("5.10,v2,legacy") == lab.matrix.cell("cell-5.10-v2-legacy") == Cell("5.10", "v2", "legacy")


def test_a_cells_machine_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no machine called “cell-5\.11-v2-nft”") as caught:
        load(tmp_path, AXES).machine("cell-5.11-v2-nft")
    assert caught.value.hint.startswith("Did you mean cell-5.10-v2-nft")
    assert caught.value.hint.endswith("`invoke matrix --list` shows all cells.")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("5.11,v2,nft", "no kernel of the matrix called “5.11”", "Did you mean 5.10"),
        ("6.1,hybrid,nft", "no cgroup mode of the matrix called “hybrid”", "There are: v1, v2."),
        ("6.1,v2,ntf", "no iptables back end of the matrix called “ntf”", "Did you mean nft?"),
    ],
)
def test_a_cell_that_there_is_not(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match=message) as caught:
        load(tmp_path, AXES).matrix.cell(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["", "6.1", "6.1,v2", "6.1,v2,nft,x", "6.1 v2 nft"])
def test_what_is_no_cell_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=f"“{text}” is no cell") as caught:
        load(tmp_path, AXES).matrix.cell(text)
    assert "KERNEL,CGROUP,IPTABLES, for instance 5.10,v1,nft" in caught.value.hint


def test_a_lack_is_expected_where_it_says(tmp_path: Path) -> None:
    section = (
        "  lacking:\n"
        "    - {needs: [aufs], why: never merged}\n"
        "    - needs: [a, b]\n      kernels: [6.1]\n      cgroups: [v1]\n      why: unset\n"
        "    - {needs: [c], iptables: [legacy], why: no module}\n"
    )
    matrix = load(tmp_path, AXES + section).matrix
    expected = {str(cell): set(matrix.expected(cell)) for cell in matrix.cells}
    assert expected["5.10,v1,nft"] == {"aufs"}
    assert expected["6.1,v1,nft"] == {"aufs", "a", "b"}
    assert expected["6.1,v1,legacy"] == {"aufs", "a", "b", "c"}
    assert expected["6.1,v2,legacy"] == {"aufs", "c"}
    assert matrix.expected(matrix.cell("6.1,v1,nft"))["b"].why == "unset"
    with pytest.raises(ConfigError, match=r"lab\.yaml:11: there is no need called “a”") as caught:
        matrix.check_needs(["aufs", "b", "c"])
    assert "There are: aufs, b, c." in caught.value.hint


@pytest.mark.parametrize(
    ("section", "line", "message", "hint"),
    [
        ("  kernels: [6.1]\n  iptables: [nft]\n", 5, "matrix needs the key cgroups", "kernels, cgroups, iptables"),
        ("  kernel: [6.1]\n", 6, "no key “kernel”", "Did you mean kernels?"),
        (AXES.replace("6.1", "6.2"), 6, "one of 5.10, 6.1, and is “6.2”", "Did you mean 6.1?"),
        (AXES.replace("[5.10, 6.1]", "6.1"), 6, "matrix.kernels should be a list .*, and is “6.1”", ""),
        (AXES.replace("[5.10, 6.1]", "[]"), 6, "matrix.kernels is empty", "It can have: 5.10, 6.1"),
        (AXES.replace("5.10, 6.1", "6.1, 6.1"), 6, "has “6.1” twice", "Remove"),
        (AXES.replace("v2", "v3"), 7, "one of v2, v1, hybrid, and is “v3”", ""),
        (AXES + "  ci:\n    - 6.1,v1,nft\n    - 6.1,v1,ntf\n", 11, "is “6.1,v1,ntf”", "Did you mean 6.1,v1,nft"),
        (AXES + "  ci: [6.1,v1,nft]\n", 9, "is “6.1”", ""),  # YAML's own commas
        (AXES + "  machine: {kernel: 6.1}\n", 9, "no key “kernel”", "memory"),
        (AXES + "  lacking:\n    - {needs: [aufs]}\n", 10, "needs the key why", ""),
        (AXES + "  lacking:\n    - {needs: aufs, why: x}\n", 10, r"lacking\[0\].needs should be a list", ""),
        (AXES + "  lacking:\n    - {needs: [aufs], why: x, cgroup: [v1]}\n", 10, "no key “cgroup”", "cgroups"),
        (AXES + "  lacking:\n    - {needs: [x], why: x, cgroups: [hybrid]}\n", 10, "one of v1, v2", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, section: str, line: int, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, section)
    assert caught.value.message.startswith(f"{tmp_path / 'lab.yaml'}:{line}: ")
    assert hint in caught.value.hint
