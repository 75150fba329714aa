"""Processes that outlive their command, by real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.host.machines import processes

SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
]

Start = Callable[[list[str]], int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that says when it is ready; it is ended with the test."""
    started: list[tuple[int, str]] = []

    def begin(command: list[str]) -> int:
        output = tmp_path / f"output{len(started)}"
        pid = processes.start(command, tmp_path, output)
        started.append((pid, processes.identity(pid) or ""))
        deadline = time.monotonic() + 20
        while b"ready" not in output.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return pid

    yield begin
    for pid, identity in started:
        processes.end(pid, identity, patience=0.2)


def known(pid: int) -> str:
    identity = processes.identity(pid)
    assert identity
    return identity


def test_identity_does_not_change_and_is_not_shared(start: Start) -> None:
    first, second = start(SLEEPER), start(SLEEPER)
    assert known(first) == known(first)
    assert processes.is_alive(first, known(first))
    assert not processes.is_alive(first, "another one")
    if sys.platform == "linux":  # elsewhere two that began in the same second look alike, with another pid each
        assert known(first) != known(second)


def test_the_end_is_noticed_also_of_our_own_child(start: Start) -> None:
    pid = start(SLEEPER)
    identity = known(pid)
    os.kill(pid, signal.SIGTERM)
    assert processes.wait_for_end(pid, identity, 10), "a zombie is not alive"
    assert processes.identity(pid) is None


def test_end_ends_it(start: Start) -> None:
    pid = start(SLEEPER)
    identity = known(pid)
    processes.end(pid, identity)
    assert not processes.is_alive(pid, identity)
    processes.end(pid, identity)  # again: nothing to do


@pytest.mark.skipif(os.name != "posix", reason="Windows has no signal that a process could ignore")
def test_end_is_certain(start: Start) -> None:
    pid = start(STUBBORN)
    identity = known(pid)
    processes.end(pid, identity, patience=0.3)
    assert not processes.is_alive(pid, identity)


def test_another_process_of_that_pid_is_spared(start: Start) -> None:
    """The pid was used again since it was recorded."""
    pid = start(SLEEPER)
    processes.end(pid, "the identity of a process that is long gone", patience=0.2)
    assert processes.is_alive(pid, known(pid))


def test_nobody() -> None:
    assert processes.identity(2**22 + 1) is None


@pytest.mark.skipif(os.name != "posix", reason="sessions are POSIX's")
def test_it_is_out_of_reach_of_our_terminal(start: Start) -> None:
    pid = start(SLEEPER)
    assert os.getsid(pid) == pid


def test_psutil_tells_one_from_another_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What macOS and Windows use, tried everywhere."""
    monkeypatch.setattr(sys, "platform", "darwin")
    pid = start(SLEEPER)
    identity = known(pid)
    assert identity == known(pid)
    assert identity != known(os.getpid())
    assert processes.identity(2**22 + 1) is None
