"""Five different containers, each made by labkit and by the script of its dry run, property by property."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from conftest import labkit, output, picture, wait_for
from test_dry_run import _pid_of, _properties

SLEEP = ["busybox", "sleep", "300"]
CONTAINERS = {
    "limits": ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "40", *SLEEP],
    "volume": ["-v", "HERE/shared:/data", "-v", "HERE/shared:/only:ro", "-e", "COLOUR=deep blue", *SLEEP],
    "network": ["-p", "6390:6379", "--network", "bridge", *SLEEP],
    "user": ["--user", "1000:1001", "--cap-drop", "all", "--cap-add", "net_raw", "--read-only", "-w", "/tmp", *SLEEP],
    "names": ["--network", "none", "--hostname", "named", "--tmpfs", "/scratch", "--ulimit", "nofile=500:600", *SLEEP],
}


def _more(pid: int, container_id: str) -> dict[str, object]:
    """What is not looked at for one container only."""
    files = {}
    for directory in Path("/sys/fs/cgroup").rglob(f"labkit/{container_id}"):
        for name in ("memory.max", "memory.limit_in_bytes", "cpu.max", "cpu.cfs_quota_us", "pids.max", "devices.list"):
            if (directory / name).exists():
                files[name] = (directory / name).read_text()
    environment = sorted(Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0"))
    inside = ["nsenter", "--target", str(pid), "--net"]
    return {
        "cgroup": files,
        # The host name is the beginning of the id, so it differs.
        "environment": [line for line in environment if line and not line.startswith("HOSTNAME=")],
        "command": Path(f"/proc/{pid}/cmdline").read_bytes(),
        "limits": Path(f"/proc/{pid}/limits").read_text(),
        "umask": [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Umask")],
        "links": [line.split()[1].partition("@")[0] for line in output(*inside, "ip", "-o", "link").splitlines()],
        "addresses": [line.split()[1:4] for line in output(*inside, "ip", "-o", "-4", "address").splitlines()],
        "routes": output(*inside, "ip", "route").splitlines(),
        "published": [line for line in output("iptables-save").splitlines() if "--dport 6390" in line],
    }


@pytest.mark.parametrize("which", CONTAINERS)
def test_the_script_makes_the_same(which: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    words = [word.replace("HERE", str(tmp_path)) for word in CONTAINERS[which]]
    before = picture()
    container_id = labkit("run", "-d", "--name", "scripted", *words).stdout.strip()
    (known,) = json.loads(labkit("inspect", "scripted").stdout)
    pid = known["state"]["pid"]
    expected = {**_properties(pid), **_more(pid, container_id)}
    labkit("rm", "-f", "scripted")
    assert wait_for(lambda: picture() == before)
    script = labkit("run", "--dry-run", "-d", "--name", "scripted", *words).stdout
    assert picture() == before, "a dry run changed something"
    path = tmp_path / "start.sh"
    path.write_text(script)
    done = subprocess.run(["bash", str(path)], capture_output=True, text=True, timeout=120, check=False)
    try:
        assert done.returncode == 0, done.stderr
        pid = _pid_of(script)
        # It waits as bash until it is told to go on.
        assert wait_for(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2])
        container_id = next(word for word in script.split() if len(word) == 64 and word.isalnum())
        found = {**_properties(pid), **_more(pid, container_id)}
        for name, value in expected.items():
            assert found[name] == value, name
    finally:
        subprocess.run(["bash", str(path), "undo"], capture_output=True, text=True, timeout=120, check=False)
        # "ip netns add" mounts /run/netns on itself where it is no mount yet (ip-netns(8)), and leaves it so.
        for point in reversed(picture()["mounts"]):
            if point not in before["mounts"]:
                assert point == "/run/netns"
                output("umount", point)
    assert wait_for(lambda: picture() == before)
