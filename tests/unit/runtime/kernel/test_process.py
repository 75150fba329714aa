from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

from labkit.runtime.kernel import process


@pytest.mark.parametrize("number", process.ENDING)
def test_a_child_apart_hears_nothing_of_what_ends_the_command(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal is there as soon as the child is; later ones, and the command's own, do what they did before."""
    fork = os.fork

    def interrupted() -> int:
        child = fork()
        if child == 0:
            os.kill(os.getpid(), number)
        return child

    heard = []
    earlier = signal.signal(number, lambda *_: heard.append(number))
    monkeypatch.setattr(os, "fork", interrupted)
    child = -1
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        child = process.fork_apart()
        if child == 0:
            early = len(heard)
            os.kill(os.getpid(), number)
            apart = os.getsid(0) == os.getpid()
            os._exit(7 if (early, len(heard), apart) == (0, 1, True) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
        assert not heard
    finally:
        if child == 0:
            os._exit(2)
        signal.signal(number, earlier)


_PROGRAM = """
import json, re
from labkit.runtime.kernel import process
from labkit.runtime.std import ctypes  # which it takes for itself, and would count

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

before = resident()
process.let_code_go()
after = resident()
assert json.loads('{"a": [1, 2.5, "x"]}') == {"a": [1, 2.5, "x"]} and re.fullmatch("a+", "aaa")
print(before - after)
"""


def test_a_process_that_lets_its_code_go_is_smaller_and_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 1 << 20, "less than a MiB went"


def test_who_is_just_going_is_gone() -> None:
    """The kernel says EINVAL in that moment, and at any time of a thread's number, which is no process's either."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert thread.native_id
        with pytest.raises(OSError, match=r"Invalid argument|No such file") as told:
            os.pidfd_open(thread.native_id)
        assert not isinstance(told.value, ProcessLookupError)
        assert process.wait_for_end(thread.native_id, process.start_time(thread.native_id), 5.0)
        process.kill(thread.native_id, process.start_time(thread.native_id), signal.SIGKILL)
    finally:
        over.set()
        thread.join()
