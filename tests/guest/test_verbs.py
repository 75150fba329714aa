"""The small verbs, on one container that runs."""

from __future__ import annotations

import json

import pytest
from conftest import labkit

pytestmark = pytest.mark.anywhere


def test_port_and_diff() -> None:
    labkit("run", "-d", "--name", "small", "-p", "6399:80", "busybox", "sleep", "100")
    assert labkit("port", "small").stdout == "80/tcp -> 0.0.0.0:6399\n"
    assert labkit("port", "small", "80").stdout == "0.0.0.0:6399\n"
    assert labkit("port", "small", "81", check=False).returncode == 4
    script = "echo x > /new; mkdir /d; echo y > /d/f; rm /bin/vi; rm -r /tmp; mkdir /tmp; : > /tmp/t"
    labkit("exec", "small", "sh", "-c", script)
    running = labkit("diff", "small").stdout.splitlines()
    for line in ("A /new", "A /d", "A /d/f", "C /bin", "D /bin/vi", "A /tmp/t"):
        assert line in running, running
    labkit("stop", "-t", "0", "small")
    assert labkit("port", "small").stdout == ""
    assert [f"{row['kind']} {row['path']}" for row in json.loads(labkit("diff", "--json", "small").stdout)] == running
