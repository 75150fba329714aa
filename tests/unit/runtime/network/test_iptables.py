"""How rules are added and removed beside other operations: by a program that stands in for iptables-restore(8)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from labkit import log
from labkit.errors import KernelError, MissingToolError
from labkit.runtime.network.iptables import AddRules
from labkit.runtime.operations import Journal
from labkit.runtime.operations.files import MakeDirectory, MakeTree
from labkit.runtime.std.dataclasses import replace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd_create(2) and prctl(2) are Linux's")


@pytest.fixture
def restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which ``slow-restore`` waits for ``done`` or ``refused``; ``asked`` has what it was given."""
    program = tmp_path / "slow-restore"
    program.write_text(
        f"""#!/bin/sh
        cd {tmp_path}
        cat >> asked
        for turn in $(seq 200); do
            test -e done && exit 0
            test -e refused && echo 'no such rule' >&2 && exit 2
            sleep 0.05
        done
        exit 3
        """
    )
    single = tmp_path / "slow"
    single.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/one-by-one\n')
    for file in (program, single):
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def rules(*texts: str) -> AddRules:
    return AddRules(texts, program="slow", is_new=True)


def test_others_are_done_while_it_is_under_way(restore: Path) -> None:
    journal = Journal(f"{restore}/journal")
    # The program ends only when the directory is there, which comes after it.
    journal.run([rules("nat X -j RETURN"), MakeDirectory(str(restore / "done"))])
    assert (restore / "asked").read_text() == "*nat\n-A X -j RETURN\nCOMMIT\n"
    assert len(journal.lines()) == 2


def test_its_failure_takes_back_what_was_done_beside_it(restore: Path) -> None:
    journal = Journal(f"{restore}/journal")
    with pytest.raises(KernelError, match="iptables-restore failed: no such rule"):
        journal.run([rules("nat X -j RETURN"), MakeDirectory(str(restore / "refused"))])
    assert not (restore / "refused").exists()
    assert not (restore / "journal").exists()
    assert (restore / "one-by-one").read_text() == "--wait -t nat -D X -j RETURN\n"


def test_another_ones_failure_waits_for_it_before_anything_is_taken_back(restore: Path) -> None:
    journal = Journal(f"{restore}/journal")
    with pytest.raises(KernelError, match="mkdir"):
        journal.run([rules("nat X -j RETURN"), MakeDirectory(f"{restore}/done"), MakeDirectory(f"{restore}/slow/x")])
    asked = (restore / "asked").read_text()
    assert asked == "*nat\n-A X -j RETURN\nCOMMIT\n*nat\n-D X -j RETURN\nCOMMIT\n"


def test_it_is_taken_back_first_and_awaited_before_what_came_earlier(restore: Path) -> None:
    earlier, later = MakeTree(str(restore / "earlier")), MakeTree(str(restore / "later"))
    journal = Journal(f"{restore}/journal")
    for operation in (earlier, rules("nat X -j RETURN"), later):
        journal.write(operation)
    for place in ("earlier", "later"):
        (restore / place).mkdir()
    program = restore / "slow-restore"
    program.write_text(
        f"""#!/bin/sh
        cd {restore}
        for turn in $(seq 200); do
            test -e later || break
            sleep 0.05
        done
        sleep 0.2
        ls -d earlier later > seen
        """
    )
    undone: list[str] = []
    stop = log.listen(lambda event: undone.append(event["command"].split(" ")[0]))
    try:
        journal.undo()
    finally:
        stop()
    assert (restore / "seen").read_text() == "earlier\n"
    assert undone == ["rm", "slow", "rm"]


def test_a_program_that_is_not_there_is_said_in_its_turn(restore: Path) -> None:
    journal = Journal(f"{restore}/journal")
    journal.write(replace(rules("nat X -j RETURN"), program="none-of-this-name"))
    (restore / "later").mkdir()
    journal.write(MakeDirectory(str(restore / "later")))
    with pytest.raises(MissingToolError, match="no none-of-this-name-restore"):
        journal.undo()
    assert not (restore / "later").exists()
    assert len(journal.lines()) == 1
