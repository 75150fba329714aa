"""What a machine's control groups cannot do for a container is said in words of ours, before anything is made."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from groups import GROUP, HERE, has

import labkit
from labkit.errors import LabkitError
from labkit.runtime.cgroups import group, limits


def test_a_tree_that_cannot_be_written_is_an_error_in_words() -> None:
    """A mount namespace of its own, in which the trees are mounted read-only."""
    points = sorted({HERE.v2, *HERE.v1.values()} - {""})
    lines = " && ".join(f"mount -o remount,bind,ro {point}" for point in points)
    script = (
        "from labkit.runtime.cgroups import group; from labkit.runtime.cgroups.detect import detect\n"
        "from labkit.errors import LabkitError\n"
        f"try: [each.do() for each in group.plan({GROUP!r}, {{}}, detect())]\n"
        "except LabkitError as error: print(error.message, error.hint)"
    )
    where = os.path.dirname(os.path.dirname(labkit.__file__))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{lines} && exec "$0" -c "$1"', sys.executable, script],
        cwd=where, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "cannot be made: Read-only file system" in done.stdout or "Read-only" in done.stdout, done.stderr
    assert "mounted for writing" in done.stdout or "subtree_control" in done.stdout


def test_every_error_here_is_one_of_ours() -> None:
    """The controllers that no machine of the matrix has on its version are refused by name."""
    for section, asked in (("rdma", {"none0": {"hcaHandles": 1}}), ("network", {"classID": 1})):
        controller = {"network": "net_cls"}.get(section, section)
        if has(controller):
            continue
        with pytest.raises(LabkitError, match=controller if controller in ("rdma",) else "net"):
            group.plan(GROUP, {section: asked}, HERE)
    assert limits.for_v1({}) == {}
