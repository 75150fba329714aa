from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

#: The signal is there as soon as the child is; what keeps the program is replaced by a mark.
_SCRIPT = """
import os, signal, sys
from pathlib import Path
from labkit.runtime.engine.shim import execkeeper, execshim
from labkit.runtime.engine.record.options import ExecRequest
fork = os.fork
def interrupted():
    child = fork()
    if child == 0:
        os.kill(os.getpid(), int(sys.argv[1]))
    return child
os.fork = interrupted
marks = Path(sys.argv[2])
blocked = lambda: ",".join(str(int(number)) for number in signal.pthread_sigmask(signal.SIG_BLOCK, []))
execkeeper.keep = lambda *_: (marks / "kept").write_text(blocked())
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
command = os.getpid()
try:
    execshim.fork(None, ExecRequest(["true"], detach=True), None)
finally:
    (marks / ("command" if os.getpid() == command else "unwound")).write_text(blocked())
os.wait()
"""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_that_comes_at_once_does_not_end_who_keeps_the_program(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(number), str(tmp_path)]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"kept": "", "command": ""}
