"""``invoke matrix`` as far as it goes without a machine: lists, merges, refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import ConfigError, NotFoundError, UsageError
from labkit.host.lab import config, paths

LAB = """
machines: {default: }
kernels: {"6.1": {suite: s, package: p}}
matrix:
  kernels: ["6.1"]
  cgroups: [v1, v2]
  iptables: [nft]
"""


def matrix(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invoke", "matrix", *words],
        cwd=paths.checkout(),
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(paths.checkout()), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_cells_are_listed_for_people_and_for_programs(tmp_path: Path) -> None:
    table = matrix("--list")
    assert (table.returncode, table.stderr) == (0, "")
    cells = [line.split()[0] for line in table.stdout.splitlines()[1:]]
    assert cells == [str(cell) for cell in config.load().matrix.cells]
    file = tmp_path / "cells.json"
    assert matrix("--list", "--ci", "--json", str(file)).stdout == ""
    listed = json.loads(file.read_text(encoding="utf-8"))["cells"]
    assert [each["cell"] for each in listed] == [str(cell) for cell in config.load().matrix.ci]
    assert json.loads(matrix("--list", "--ci", "--json", "-").stdout)["cells"] == listed
    assert all(each["ci"] and each["lacking"]["aufs"] for each in listed)


@pytest.mark.parametrize(
    ("words", "status", "message", "hint"),
    [
        (["--cell", "6.1,v2"], UsageError.exit_status, "“6.1,v2” is no cell", "KERNEL,CGROUP,IPTABLES"),
        (["--cell", "6.1,v2,ntf"], NotFoundError.exit_status, "no iptables back end", "Did you mean nft?"),
        (["--only", "overly"], NotFoundError.exit_status, "no scenario called “overly”", "Did you mean overlay?"),
        (["--jobs", "0"], UsageError.exit_status, "'0' is no number of jobs", "from 1 to 64"),
        (["--ci", "--cell", "6.1,v2,nft"], UsageError.exit_status, "--cell and --ci both", "Leave one"),
        (["--json", "/nonexistent/x.json"], UsageError.exit_status, "no file can be written there", "Name a file"),
        (["--markdown", "."], UsageError.exit_status, "no file can be written there", "Name a file"),
        (["--junit", "/nonexistent/junit"], UsageError.exit_status, "no directory can be made", "a file in it"),
        (["--merge", "/nonexistent"], UsageError.exit_status, "There is no directory", "--json"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(
    words: list[str], status: int, message: str, hint: str
) -> None:
    run = matrix(*words)
    assert (run.returncode, run.stdout) == (status, "")
    assert run.stderr.startswith("error: ")
    assert message in run.stderr
    assert hint in run.stderr
    assert not paths.state_dir().exists()


def test_an_unknown_need_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(LAB + "  lacking:\n    - {needs: [auffs], why: never merged}\n", encoding="utf-8")
    run = matrix(LABKIT_LAB=str(file))
    assert run.returncode == ConfigError.exit_status
    assert f"{file}:9: there is no need called “auffs”" in run.stderr
    assert "Did you mean aufs?" in run.stderr


def test_a_lab_without_a_matrix(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(LAB.split("matrix:")[0], encoding="utf-8")
    run = matrix("--list", LABKIT_LAB=str(file))
    assert run.returncode == UsageError.exit_status
    assert "names no cells" in run.stderr


def test_no_qemu_is_said_at_once(tmp_path: Path) -> None:
    run = matrix(LABKIT_QEMU=str(tmp_path), PATH=str(tmp_path))
    assert run.returncode == 6
    assert "qemu-system-x86_64 is not installed" in run.stderr
    assert not paths.state_dir().exists()


def test_summaries_are_merged_and_judged(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(LAB, encoding="utf-8")
    lesson = {"lesson": "a", "verdict": "passed", "why": [], "seconds": 1.0, "passed": 2, "failed": 0, "lacking": 0}
    cell = {"cell": "6.1,v1,nft", "verdict": "passed", "facts": {}, "boot_seconds": 1.0}
    whole = {"date": "d", "versions": {"QEMU": "7"}, "cells": [{**cell, "lessons": [{**lesson, "lacks": {}}]}]}
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "v1.json").write_text(json.dumps(whole))
    markdown = tmp_path / "summary.md"
    words = ["--merge", str(parts), "--markdown", str(markdown)]
    run = matrix(*words, LABKIT_LAB=str(file))
    assert run.returncode == 7, "there is nothing of 6.1,v2,nft"
    assert "*no machine*" in run.stdout
    assert markdown.read_text(encoding="utf-8") == run.stdout
    assert matrix(*words, "--cell", "6.1,v1,nft", LABKIT_LAB=str(file)).returncode == 0
    json_only = matrix(*words, "--json", "-", LABKIT_LAB=str(file))
    assert [each["verdict"] for each in json.loads(json_only.stdout)["cells"]] == ["passed", "infrastructure"]
