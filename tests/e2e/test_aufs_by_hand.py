"""The lesson aufs done by hand, rightly and wrongly, and what stands in for aufs is never taken for it."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from labkit.host.machines.base import Machine
from labkit.host.scenario import backend, run
from labkit.host.scenario.needs import lacking

MOUNT = "mount -t aufs -o dirs=./home:./company none ./mnt"
WRITE, DELETE = "echo apple > mnt/code", "rm mnt/meeting"
DIRECTORIES = (
    "mkdir -p /root/lessons/aufs; cd /root/lessons/aufs; mkdir company home work mnt; echo source > company/code; "
    "echo monday > company/meeting; touch home/eat home/sleep"
)
B1, B3, B5 = "test_the_union_shows_both", "test_copy_up", "test_a_deletion_leaves_a_whiteout"
BY_HAND = [
    # what somebody did after the directories, and the checks that must see that it is not what the lesson shows
    (f"{MOUNT}; {WRITE}; {DELETE}", set()),
    (f"{MOUNT}; {WRITE}", {B5}),
    (f"{MOUNT}; {DELETE}", {B3}),
    (f"{MOUNT}; {WRITE}; {DELETE}; umount mnt; rm -f home/meeting home/.wh.meeting; {MOUNT}", {B5}),
    (f"{MOUNT}; {WRITE}; {DELETE}; rm company/meeting", {B1, B5}),
    (f"mount -t aufs -o dirs=./company:./home none ./mnt; {WRITE}; {DELETE}", {B1, B3, B5}),
    (f"cp company/* home/* mnt; {WRITE}; {DELETE}", {B1, B3, B5}),
    (
        f"mount -t overlay -o lowerdir=company,upperdir=home,workdir=work none mnt; {WRITE}; {DELETE}",
        {B1, B3, B5},
    ),
]


def failed_checks(machine: Machine, junit: Path) -> set[str]:
    """The names of the lesson's checks that fail on what is there now."""
    for name in [name for name in sys.modules if name.endswith("test_aufs")]:
        del sys.modules[name]  # two runs in one process would share it
    run("aufs", machine, checks_only=True, junit=junit)
    return {
        case.get("name", "")
        for case in ElementTree.parse(junit).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    }


@pytest.mark.thorough
@pytest.mark.parametrize(("done", "seen"), BY_HAND)
def test_checks_see_what_is_not_as_the_lesson_shows(
    machine: Machine, tmp_path: Path, done: str, seen: set[str]
) -> None:
    machine.reset()
    machine.connection().run(f"{DIRECTORIES}; {done}", hide=True, in_stream=False)
    assert failed_checks(machine, tmp_path / "results.xml") == seen


def test_the_stand_in_is_never_taken_for_aufs(machine: Machine) -> None:
    machine.reset()
    host = backend.host("machine", machine.connection())
    if lacking("aufs", host) is None:
        pytest.skip("this machine's kernel has aufs, so that nothing stands in for it")
    before = host.check_output("cat /proc/mounts; ls /var/tmp")
    assert lacking("aufs-or-stand-in", host) is None, "nothing stands in for it here"
    assert lacking("kernel-without-aufs", host) is None
    assert "unknown filesystem type" in str(lacking("aufs", host))
    assert host.check_output("cat /proc/mounts; ls /var/tmp") == before, "a probe has left something behind"
    host.check_output("mv /usr/bin/fuse-overlayfs /root/")
    assert "fuse-overlayfs, which could stand in for it, is not installed" in str(lacking("aufs-or-stand-in", host))
    machine.reset()
