"""The matrix, for real, with tiny lessons: what turns a cell red and what does not, Ctrl-C, a machine that is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.host.lab import paths
from labkit.host.lab.matrixsection import Cell
from labkit.host.machines import qemucommand
from labkit.host.matrix import report, run
from labkit.host.matrix.verdict import exit_status

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for left processes in /proc"),
]

CELL = Cell("6.1", "v2", "nft")
MATRIX = """
matrix:
  kernels: ["6.1"]
  cgroups: [v2]
  iptables: [nft]
  machine: {options: {kernel-parameters: module_blacklist=overlay}}
  lacking:
    - {needs: [aufs], why: it never entered the mainline}
    - {needs: [pid-namespaces], why: somebody was wrong}
"""
LESSON = """---
title: A tiny lesson
minutes: 1
needs: [%s]
claims: [A1]
---
## Say it

```console
$ %s
said
```
"""
CHECKS = """
import pytest

@pytest.mark.claim("A1")
def test_it_is_linux(host):
    assert host.check_output("uname -s") == "Linux"

@pytest.mark.needs("aufs")
def test_with_aufs(host):
    raise AssertionError("this cannot be played")
"""
PLAY = """
import pathlib, sys
from labkit.host.tasks import boundary
from labkit.host.matrix import run
from labkit.host.lab.matrixsection import Cell
place = pathlib.Path(sys.argv[1])
sys.exit(boundary.call(lambda: run.play([Cell("6.1", "v2", "nft")], ["first", "second"], place=place) and 0))
"""


class Place:
    """Lessons for the test, and the state directory in which they are played."""

    def __init__(self, directory: Path) -> None:
        self.lessons = directory / "scenarios"
        self.matrix = paths.state_dir() / "matrix"  # now: while it is played, the state directory is another

    def write(self, name: str, needs: str = "", command: str = "echo said") -> None:
        lesson = self.lessons / name
        lesson.mkdir(parents=True)
        (lesson / "README.md").write_text(LESSON % (needs, command), encoding="utf-8")
        (lesson / f"test_{name}.py").write_text(CHECKS, encoding="utf-8")

    def qemus(self) -> list[int]:
        """Processes of QEMU that work in a directory of the matrix's machines."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                here = (entry / "cwd").resolve().is_relative_to(self.matrix / "machines")
                if here and "qemu" in (entry / "comm").read_text():
                    found.append(int(entry.name))
        return found

    def log(self) -> str:
        """What the cell's programs have said so far."""
        for file in (self.matrix / "records").glob("*/cell-*.log"):
            return file.read_text(encoding="utf-8", errors="replace")
        return ""

    def since_the_boot(self, number: int) -> str:
        """What they have said since the machine was booted for the ``number``-th time; nothing before that."""
        return "".join(self.log().split("-m invoke up")[number:])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """lab.yaml is the checkout's, with the matrix above."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))  # and no record of an earlier test in it
    lab = tmp_path / "lab.yaml"
    original = (paths.checkout() / "lab.yaml").read_text(encoding="utf-8")
    lab.write_text(original.split("\nmatrix:\n")[0] + MATRIX, encoding="utf-8")
    monkeypatch.setenv("LABKIT_LAB", str(lab))
    it = Place(tmp_path)
    yield it
    assert it.qemus() == [], "a machine is left"
    assert not list((it.matrix / "machines").glob("*"))


def wait_for(condition: object, seconds: float, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def test_what_lab_yaml_and_the_kernel_do_not_agree_about_turns_the_cell_red(place: Place, tmp_path: Path) -> None:
    """The module overlay is removed by a kernel parameter, and pid-namespaces are expected to be lacking."""
    place.write("fine")
    place.write("expected", "aufs")
    place.write("removed", "overlay")
    place.write("unfounded", "pid-namespaces")
    played = run.play([CELL], ["fine", "expected", "removed", "unfounded"], place=place.lessons, fresh=True)
    (cell,) = played.summary.cells
    results = {result.lesson: result for result in cell.played}
    assert (results["fine"].verdict, results["fine"].passed, results["fine"].lacking) == ("passed", 2, 1)
    assert (results["expected"].verdict, results["expected"].why) == ("lacking", ())
    assert results["removed"].verdict == "failed"
    assert "overlay is lacking, which lab.yaml does not expect here: overlay cannot" in results["removed"].why[0]
    assert results["unfounded"].verdict == "failed"
    assert "pid-namespaces is there, and lab.yaml:" in results["unfounded"].why[0]
    assert "somebody was wrong" in results["unfounded"].why[0]
    assert exit_status(played.summary.verdicts) == 1
    markdown = report.as_markdown(played.summary)
    assert "passed, 1 lacking | lacking" in markdown
    assert cell.facts["kernel"] in markdown
    assert "6.1." in cell.facts["kernel"]
    report.write_junit(played.summary, played.record, tmp_path)
    suites = [suite.get("name") for suite in ElementTree.parse(tmp_path / "cell-6.1-v2-nft.xml").iter("testsuite")]
    assert "cell-6.1-v2-nft.fine" in suites


def test_ctrl_c_leaves_nothing_the_next_run_goes_on_and_a_lost_machine_is_tried_again(place: Place) -> None:
    place.write("first")
    place.write("second", command="sleep 12; echo said")
    started = subprocess.Popen([sys.executable, "-c", PLAY, str(place.lessons)], cwd=paths.checkout())
    try:
        wait_for(lambda: "second/README.md" in place.log(), 180, "the second lesson")
        time.sleep(2)  # in the middle of its sleep
        assert len(place.qemus()) == 1
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == 130
    finally:
        if started.poll() is None:
            started.terminate()
            started.wait(60)
    assert place.qemus() == []
    before = place.log().count("first/README.md")

    def kill_its_machine() -> None:
        wait_for(lambda: "second/README.md" in place.since_the_boot(2), 240, "the second lesson, again")
        time.sleep(3)
        for pid in place.qemus():
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_its_machine)
    killer.start()
    played = run.play([CELL], ["first", "second"], place=place.lessons)
    killer.join()
    assert played.reused == 1
    assert place.log().count("first/README.md") == before, "what was recorded is not played again"
    assert [result.verdict for result in played.summary.cells[0].played] == ["passed", "passed"]
    assert place.log().count("-m invoke up") == 3, (
        "once before Ctrl-C, once after it, and once for the machine that was lost"
    )


def test_a_machine_that_does_not_start_is_no_failure(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("fine")
    real = qemucommand.find()
    program = tmp_path / "qemu" / "qemu-system-x86_64"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo QEMU version 9.9.9 || { echo no power >&2; exit 1; }\n")
    program.chmod(0o755)
    (program.parent / "qemu-img").symlink_to(real.image_program)
    monkeypatch.setenv("LABKIT_QEMU", str(program.parent))
    monkeypatch.setenv("LABKIT_ACCEL", "tcg")
    qemucommand.find.cache_clear()
    try:
        played = run.play([CELL], ["fine"], place=place.lessons)
    finally:
        qemucommand.find.cache_clear()
    ((result,),) = [cell.played for cell in played.summary.cells]
    assert result.verdict == "infrastructure"
    assert "no power" in result.why[0]
    assert exit_status(played.summary.verdicts) == 7
    assert place.log().count("-m invoke up") == 2, "it is tried once more"
