"""A check that cannot fail proves nothing: each lesson is played, and the very thing that it shows is undone.

redis-nat, pid-1 and overlay are broken by hand in test_lessons.py; here are those of which a lesson has to be played.
It is undone behind the lesson's back, directly before the check of that claim; the lesson's steps have passed until
then. So the check must fail, and for its own reason. That it passes when nothing is undone is what test_lessons.py
shows.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Generator
from pathlib import Path

import pytest

from labkit.host.lab.paths import checkout
from labkit.host.machines.base import Machine
from labkit.host.scenario import plugin

pytestmark = pytest.mark.thorough

GROUPS = "find /sys/fs/cgroup -path '*/labkit/*'"

CASES = [
    # lesson, check, its claim, what is done before it, words of the check's own reason
    (
        "aufs",
        "test_copy_up",
        "B3",
        "echo source > /root/lessons/aufs/home/code",
        "home/code says “source”, and not “apple”",
    ),
    (
        "aufs",
        "test_a_deletion_leaves_a_whiteout",
        "B5",
        "rm -f /root/lessons/aufs/home/meeting /root/lessons/aufs/home/.wh.meeting",
        "no whiteout of meeting is in /root/lessons/aufs/home",
    ),
    (
        "cgroup-cpu",
        "test_the_quota_holds_it_to_half_a_processor",
        "G4",
        f"for file in $({GROUPS} -name cpu.max); do echo max > $file; done; "
        f"for file in $({GROUPS} -name cpu.cfs_quota_us); do echo -1 > $file; done",
        "and not 50 %",
    ),
]


class Saboteur:
    """Runs a command in the machine when a check is about to look."""

    def __init__(self, machine: Machine, check: str, command: str) -> None:
        self.machine = machine
        self.check = check
        self.command = command
        self.was_there = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """The setup before it has brought the lesson to the check's step."""
        if item.name == self.check:
            self.machine.connection().run(self.command, hide=True, in_stream=False)
            self.was_there = True
        return (yield)


@pytest.mark.parametrize(
    ("lesson", "check", "claim", "command", "reason"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_the_claims_own_check_fails(
    machine: Machine, tmp_path: Path, lesson: str, check: str, claim: str, command: str, reason: str
) -> None:
    junit, lessons = tmp_path / "results.xml", checkout() / "scenarios"
    words = ["--config-file", str(lessons / "pytest.ini"), f"--rootdir={lessons}", "-p", "no:cacheprovider", "-q"]
    saboteur = Saboteur(machine, check, command)
    # Only that check: it plays the steps before it by itself, and one that fails would be "not run", no failure.
    status = pytest.main(
        [*words, "--tb=short", f"--junitxml={junit}", "-k", check, str(lessons / lesson)],
        plugins=[plugin.Stage(machine), saboteur],
    )
    assert saboteur.was_there, "the lesson did not come to the check"
    assert status == pytest.ExitCode.TESTS_FAILED
    (case,) = ElementTree.parse(junit).iter("testcase")
    assert case.get("name") == check
    assert [each.get("value") for each in case.iter("property") if each.get("name") == "claim"] == [claim]
    (failure,) = case.iter("failure")
    assert reason in failure.get("message", "") + (failure.text or "")
