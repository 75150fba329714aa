from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from labkit.errors import ConfigError, UsageError
from labkit.host.lab.matrixsection import Cell, Matrix
from labkit.host.matrix import report
from labkit.host.matrix.record import CellRun, Record
from labkit.host.matrix.report import Summary
from labkit.host.matrix.verdict import Result, infrastructure, read_junit

V2, V1 = Cell("6.12", "v2", "nft"), Cell("6.12", "v1", "legacy")
MATRIX = Matrix((V2, V1))
NO_AUFS, NO_MEMORY = "no such file system", "no memory controller: CONFIG_MEMCG_V1 is not set"


def summary() -> Summary:
    """Two cells: one green but for what is expected, one red."""
    green = CellRun(V2, ("aufs", "cpu", "nat"), facts={"kernel": "6.12.9-amd64", "accelerator": "kvm"}, boot_seconds=5)
    red = CellRun(V1, ("aufs", "cpu", "nat"), facts={"kernel": "6.12.9-amd64", "accelerator": "kvm"}, boot_seconds=60)
    lacking = Result("aufs", "lacking", (), 1.0, lacking=4, lacks={"aufs": NO_AUFS})
    green.results = {
        "nat": Result("nat", "passed", (), 9, 20),
        "cpu": Result("cpu", "passed", (), 5, 8),
        "aufs": lacking,
    }
    red.results = {
        "nat": infrastructure("nat", ["The machine was | lost."]),
        "cpu": Result("cpu", "failed", ("G1: 70 % were used.",), 5.0, 7, 1, 1, {"memory": NO_MEMORY}),
        "aufs": lacking,
    }
    versions = {"labkit": "0.1", "QEMU": "7.2.22", "host": "Linux x86_64"}
    return Summary("2026-11-24 08:23 UTC", versions, (green, red))


MARKDOWN = f"""\
# The matrix

2026-11-24 08:23 UTC: 2 cells, 2 passed, 1 failed, 2 lacking, 1 no machine. With labkit 0.1, QEMU 7.2.22, host Linux \
x86_64.

| kernel       | cgroup | iptables | aufs    | cpu                   | nat          | boot | all  |
| ------------ | ------ | -------- | ------- | --------------------- | ------------ | ---- | ---- |
| 6.12.9-amd64 | v2     | nft      | lacking | passed                | passed       | 5 s  | 0:20 |
| 6.12.9-amd64 | v1     | legacy   | lacking | **failed**, 1 lacking | *no machine* | 60 s | 1:06 |

## What is not green

- 6.12,v1,legacy, cpu: G1: 70 % were used.
- 6.12,v1,legacy, nat: The machine was | lost.

## What is lacking

| need   | what the kernel says                            | cells                          |
| ------ | ----------------------------------------------- | ------------------------------ |
| aufs   | {NO_AUFS}                             | `6.12,v2,nft`, `6.12,v1,legacy` |
| memory | {NO_MEMORY} | `6.12,v1,legacy`               |
"""


def test_the_summary_of_a_matrix() -> None:
    assert squeezed(report.as_markdown(summary())) == squeezed(MARKDOWN)


def squeezed(text: str) -> list[str]:
    """Its lines, however wide the columns are."""
    return [re.sub(r" +", " ", re.sub(r"-{3,}", "---", line)) for line in text.splitlines()]


def test_columns_of_a_table_stand_below_one_another() -> None:
    rows = [line for line in report.as_markdown(summary()).splitlines() if line.startswith("| ")][:4]
    assert len({tuple(found.start() for found in re.finditer(r"\|", row)) for row in rows}) == 1


def test_a_green_matrix_has_no_list_of_failures() -> None:
    run = CellRun(V2, ("nat",), {"nat": Result("nat", "passed", (), 1.0, 3)})
    found = report.as_markdown(Summary("today", {"labkit": "0.1"}, (run,)))
    assert "##" not in found
    assert "1 cell, 1 passed." in found
    assert "| 6.12   | v2     | nft" in found, "a kernel that was not asked for its release has its name"


def test_a_bar_does_not_end_a_column() -> None:
    lacks = {"x": "a | b"}
    run = CellRun(V2, ("nat",), {"nat": Result("nat", "lacking", (), 1.0, lacking=3, lacks=lacks)})
    assert "a \\| b" in report.as_markdown(Summary("today", {}, (run,)))


def test_json_holds_everything() -> None:
    whole = summary()
    assert report.from_dict(json.loads(json.dumps(report.as_dict(whole))), MATRIX) == whole


def write(directory: Path, name: str, whole: Summary, *cells: Cell) -> None:
    part = Summary(whole.date, whole.versions, tuple(each for each in whole.cells if each.cell in cells))
    file = directory / name / "matrix.json"
    file.parent.mkdir()
    file.write_text(json.dumps(report.as_dict(part)), encoding="utf-8")


def test_the_summaries_of_many_jobs_become_one(tmp_path: Path) -> None:
    write(tmp_path, "b", summary(), V2)
    write(tmp_path, "a", summary(), V1)
    assert report.merge(tmp_path, MATRIX.cells, MATRIX) == summary()


def test_a_cell_whose_job_told_nothing_had_no_machine(tmp_path: Path) -> None:
    write(tmp_path, "a", summary(), V2)
    merged = report.merge(tmp_path, MATRIX.cells, MATRIX)
    assert merged.verdicts == ["passed", "infrastructure"]
    assert "its job did not come to its end" in report.as_markdown(merged)


def test_what_cannot_be_merged(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no summary"):
        report.merge(tmp_path, MATRIX.cells, MATRIX)
    for text in ("{", "[]", "{}", '{"date": "x", "versions": {}, "cells": [{"cell": "6.12,v2,nft"}]}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ConfigError, match=r"x\.json is no summary of a matrix"):
            report.merge(tmp_path, MATRIX.cells, MATRIX)


def test_a_junit_file_for_each_cell_says_what_the_matrix_says(tmp_path: Path) -> None:
    record = Record.begin(tmp_path / "records", "key")
    record.junit(V2, "nat").write_text(
        '<testsuites><testsuite name="pytest"><testcase name="pong"/></testsuite></testsuites>'
    )
    record.junit(V2, "cpu").write_text("<testsuites><tor")
    report.write_junit(summary(), record, tmp_path)
    green = ElementTree.parse(tmp_path / "cell-6.12-v2-nft.xml")
    assert [suite.get("name") for suite in green.iter("testsuite")] == [
        "cell-6.12-v2-nft.matrix",
        "cell-6.12-v2-nft.matrix",
        "cell-6.12-v2-nft.nat",
        "cell-6.12-v2-nft.matrix",
    ]
    counts = read_junit((tmp_path / "cell-6.12-v2-nft.xml").read_bytes())
    assert (counts.passed, counts.failed, counts.skipped) == (3, 0, {f"aufs: {NO_AUFS}": 1})
    counts = read_junit((tmp_path / "cell-6.12-v1-legacy.xml").read_bytes())
    assert (counts.passed, counts.failed) == (0, 2)
    red = {case.get("name"): case for case in ElementTree.parse(tmp_path / "cell-6.12-v1-legacy.xml").iter("testcase")}
    assert red["nat"][0].tag == "error"
    assert red["cpu"][0].get("message") == "G1: 70 % were used."
