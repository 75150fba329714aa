from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import json, re
from labkit.runtime.kernel import memory
before = memory.resident()
memory.let_code_go()
after = memory.resident()
assert json.loads('{"a": [1, 2.5, "x"]}') == {"a": [1, 2.5, "x"]} and re.fullmatch("a+", "aaa")
print(before - after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="madvise(2) of Linux")
def test_a_process_that_lets_its_code_go_is_smaller_and_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 1 << 20, "less than a MiB went"
