"""The script of a dry run does what run's flags ask for, by bash alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import properties
import pytest
from conftest import labkit, picture, wait_for

pytestmark = pytest.mark.root

CASES = {
    "files": ("-v", "data:/data:ro", "--tmpfs", "/scratch:size=1m", "--read-only", "--shm-size", "2m"),
    "rights": ("--user", "1000:7", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    "process": ("--ulimit", "nofile=100:200", "--oom-score-adj", "300", "-w", "/tmp", "-e", "A=b c"),
    "open": ("--pid", "host", "--ipc", "host", "--uts", "host", "--privileged"),
}


def _first_process(script: str) -> tuple[int, str]:
    container_id = next(word for word in script.split() if len(word) == 64 and word.isalnum())
    for path in Path("/sys/fs/cgroup").rglob(f"labkit/{container_id}/cgroup.procs"):
        for pid in path.read_text().split():
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0"):
                return int(pid), container_id
    pytest.fail("the script's container does not run")


@pytest.mark.parametrize("case", CASES)
def test_the_script_makes_the_same_container(case: str, tmp_path: Path) -> None:
    command = ("--network", "none", "--hostname", "box", "--name", "same", *CASES[case], "busybox", "sleep", "100")
    before = picture()
    if case == "open":
        command = tuple(word for word in command if word not in ("--hostname", "box"))
    labkit("run", "-d", *command)
    (known,) = json.loads(labkit("inspect", "same").stdout)
    expected = properties.of(known["state"]["pid"], known["id"])
    labkit("rm", "-f", "same")
    labkit("volume", "rm", "-f", "data")

    script = labkit("run", "--dry-run", "-d", *command).stdout
    assert picture() == before, "a dry run changed something"
    path = tmp_path / "start.sh"
    path.write_text(script)
    done = subprocess.run(["bash", str(path)], capture_output=True, text=True, timeout=120, check=False)
    try:
        assert done.returncode == 0, done.stderr
        assert wait_for(lambda: b"sleep" in Path(f"/proc/{_first_process(script)[0]}/cmdline").read_bytes())
        found = properties.of(*_first_process(script))
    finally:
        undone = subprocess.run(["bash", str(path), "undo"], capture_output=True, text=True, timeout=120, check=False)
        labkit("volume", "rm", "-f", "data")
    # The script says itself that it sets no filter.
    expected["status"]["Seccomp"] = found["status"]["Seccomp"]
    found["variables"] = [variable for variable in found["variables"] if variable != b"SHLVL=0"]  # bash's exec sets it
    for name, value in expected.items():
        if name != "variables" or case != "open":  # the host name is the id, and each has one of its own
            assert found[name] == value, name
    assert wait_for(lambda: picture() == before), undone.stderr
