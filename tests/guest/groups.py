"""What the tests of groups ask: which controllers this machine has, on which version, and what their files say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from labkit.runtime.cgroups.detect import detect
from labkit.runtime.operations import Operation

HERE = detect()
GROUP = "/labkit-tests/deep/er"
MEGABYTE = 1 << 20


def on_v2(controller: str) -> bool:
    """Whether it is v2's tree that has the controller (by v1's name)."""
    name = {"blkio": "io"}.get(controller, controller)
    return bool(HERE.v2) and controller not in HERE.v1 and name in offered()


def offered() -> list[str]:
    return Path(HERE.v2, "cgroup.controllers").read_text().split() if HERE.v2 else []


def has(controller: str) -> bool:
    return controller in HERE.v1 or on_v2(controller)


def needs(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not has(controller), reason=f"no {controller} controller on this machine's cgroups")


def value(controller: str, v1: str, v2: str, path: str = GROUP) -> str:
    point, name = (HERE.v2, v2) if on_v2(controller) else (HERE.v1[controller], v1)
    return Path(f"{point}{path}", name).read_text().strip()


def do(operations: list[Operation]) -> None:
    for operation in operations:
        operation.do()


def output(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    text = child.stdout.read()
    child.wait()
    return text


def disk() -> str:
    """``major:minor`` of one, or nothing."""
    for name in sorted(os.listdir("/sys/block")) if os.path.isdir("/sys/block") else []:
        if name.startswith(("vd", "sd", "nvme", "loop")):
            return Path("/sys/block", name, "dev").read_text().strip()
    return ""
