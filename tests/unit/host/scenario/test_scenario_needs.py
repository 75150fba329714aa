from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from labkit.host.scenario.needs import NEEDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a probe is a command for a Linux shell")

V1 = """\
tmpfs /sys/fs/cgroup tmpfs ro,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,pids 0 0
"""
KERNEL = "CONFIG_MEMCG=y\n# CONFIG_MEMCG_V1 is not set\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("proc", "boot", "sys/fs/cgroup"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/mounts").write_text(V1)
    return tmp_path


def probe(name: str, root: Path) -> tuple[int, str]:
    """The probe of a need, run by a shell on files of ours."""
    text = NEEDS[name].probe.replace("$(uname -r)", "0")
    for place in ("proc", "boot", "sys/fs/cgroup", "lib/modules"):
        text = text.replace(f" /{place}/", f" {root}/{place}/")
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_controller_of_v1_is_one_that_is_mounted(root: Path) -> None:
    assert probe("cgroup-cpu", root) == (0, "")
    assert probe("cgroup-pids", root) == (0, "")
    assert probe("cgroup-cpuset", root) == (1, "cgroup v1\n")


def test_a_missing_controller_is_told_with_the_kernels_own_reason(root: Path) -> None:
    (root / "boot/config-0").write_text(KERNEL)
    assert probe("cgroup-memory", root) == (1, "cgroup v1: CONFIG_MEMCG_V1 is not set\n")


def test_a_controller_of_v2_is_in_its_list(root: Path) -> None:
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io pids\n")
    assert probe("cgroup-cpu", root) == (0, "")
    assert probe("cgroup-memory", root) == (1, "cgroup v2\n")
