from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from labkit.runtime.kernel import kmsg


def test_a_record_is_its_text() -> None:
    record = b"6,339,5140900,-;aufs: a word; and another\n SUBSYSTEM=x\n DEVICE=y\n"
    assert kmsg.text_of(record) == "aufs: a word; and another"
    assert kmsg.text_of(b"") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_only_what_comes_from_now_on_is_heard(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_bytes(b"6,1,1,-;before\n")
    with kmsg.watch(str(log)) as messages:
        assert messages() == []
        with log.open("ab") as stream:
            stream.write(b"3,2,2,-;after\n")
        assert messages() == ["after"]
        assert messages() == []


def test_a_log_that_may_not_be_read_says_nothing(tmp_path: Path) -> None:
    with kmsg.watch(str(tmp_path / "none")) as messages:
        assert messages() == []


@pytest.mark.skipif(
    not os.access("/dev/kmsg", os.R_OK | os.W_OK), reason="the kernel's log may not be read and written here"
)
def test_the_real_log(tmp_path: Path) -> None:
    with kmsg.watch() as messages:
        Path("/dev/kmsg").write_text(f"labkit: a test of its log, {tmp_path}\n")
        assert [line for line in messages() if str(tmp_path) in line] != []
