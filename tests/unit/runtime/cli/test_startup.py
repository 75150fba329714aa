"""What a command and its shim load: each of these modules takes longer than all of ours together need to be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import labkit

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

SLOW = "re enum collections dataclasses json typing contextlib socket subprocess logging".split()
LIBRARY = str(Path(labkit.__file__).parents[1])


@pytest.mark.parametrize(
    "modules",
    [
        "cli.main cli.verb_run engine.life.start",
        "cli.main cli.verb_run engine.life.start engine.shim.keeper engine.volumes",
        "cli.main cli.verb_exec engine.shim.attached",
        "cli.main cli.verb_exec engine.shim.execkeeper",
        "cli.main cli.verb_ps",
    ],
)
def test_nothing_slow_is_loaded(modules: str) -> None:
    """By an interpreter as the launcher starts it, without site."""
    program = f"""
import sys
sys.path.insert(0, {LIBRARY!r})
from labkit.runtime.std import quickstart
quickstart.prepare({LIBRARY!r})
for name in {modules!r}.split():
    __import__("labkit.runtime." + name)
print(*[name for name in {SLOW!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
