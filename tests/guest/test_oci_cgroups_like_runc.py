"""The same bundle run by runc and by labkit-oci: their groups say the same, file by file."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle
from conftest import wait_for
from programs import LABKIT_OCI

from labkit.runtime.cgroups import group, statistics
from labkit.runtime.cgroups.detect import detect

HERE = detect()
MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(not shutil.which("runc"), reason="no runc here")

_TUN = "c 10:200 rwm"
#: What no limit is in: counters, lists of processes, pressure, and what is for writing alone.
_COUNTED = ("stat", "usage", "events", "pressure", "procs", "tasks", "threads", "current", "peak", "failcnt")


@pytest.fixture
def runtimes(tmp_path: Path) -> Iterator[dict[str, list[str]]]:
    """Name -> command; the containers of that name are gone when the test is over."""
    programs = {"ours": LABKIT_OCI, "runc": ["runc"]}
    commands = {name: [*program, "--root", str(tmp_path / name)] for name, program in programs.items()}
    yield commands
    for name, command in commands.items():
        subprocess.run([*command, "delete", "--force", name], capture_output=True, check=False)
        group.kill(f"/labkit-tests-{name}/box", HERE)
        group.remove(f"/labkit-tests-{name}", HERE)


def start(runtimes: dict[str, list[str]], tmp_path: Path, resources: dict[str, Any], cgroups_path: str = "") -> None:
    for name, command in runtimes.items():
        bundle = Bundle(tmp_path / f"bundle-{name}")
        bundle.config["process"]["args"] = ["sleep", "1000"]
        bundle.config["linux"]["resources"] = resources
        bundle.config["linux"]["cgroupsPath"] = cgroups_path or f"/labkit-tests-{name}/box"
        (bundle.directory / "config.json").write_text(json.dumps(bundle.config))
        words = [*command, "run", "--detach", "--bundle", str(bundle.directory), name]
        with (tmp_path / f"said-{name}").open("w+") as said:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=60, check=False)
            said.seek(0)
            assert done.returncode == 0, f"{name}: {said.read()}"


def limits_of(name: str) -> dict[str, str]:
    """Tree and file -> text, of everything in the group that is a limit. A v2 tree beside v1's has none of runc's."""
    found = {}
    for place in group.directories(f"/labkit-tests-{name}/box", HERE):
        if HERE.v1 and HERE.v2 and place.startswith(HERE.v2 + "/"):
            continue
        for file in sorted(Path(place).iterdir()):
            if not file.is_file() or any(word in file.name for word in _COUNTED):
                continue
            try:
                found[str(file).replace(f"/labkit-tests-{name}/", "/")] = file.read_text()
            except (OSError, UnicodeDecodeError):  # written only, or switched off
                continue
    return found


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"memory": {"limit": 64 * MEGABYTE, "reservation": 32 * MEGABYTE, "swap": 128 * MEGABYTE}},
        {"memory": {"limit": -1}},
        {"memory": {"limit": 64 * MEGABYTE, "swap": -1, "swappiness": 9, "disableOOMKiller": True, "kernel": 9999999}},
        {"cpu": {"shares": 1024, "quota": 50000, "period": 100000}, "pids": {"limit": 12}},
        {"cpu": {"shares": 0, "quota": -1, "period": 50000}, "pids": {"limit": 0}},
        {"cpu": {"cpus": "0", "mems": "0"}, "pids": {"limit": -1}},
        {"devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "b", "major": 7, "access": "r"}]},
        {"devices": [{"allow": True, "access": "rwm"}]},
        {"devices": [{"allow": True, "access": "rwm"}, {"allow": False, "type": "b", "major": 7, "access": "w"}]},
        {"devices": [{"allow": False, "type": "c", "major": 10, "minor": 3, "access": "w"}]},
    ],
    ids=lambda resources: "-".join(f"{name}.{'.'.join(map(str, value))}"[:40] for name, value in resources.items()),
)
def test_the_files_say_the_same(runtimes: dict[str, list[str]], tmp_path: Path, resources: dict[str, Any]) -> None:
    start(runtimes, tmp_path, resources)
    compare()


def compare() -> None:
    """Both groups' files."""
    ours, theirs = limits_of("ours"), limits_of("runc")
    assert ours
    for found in (ours, theirs):
        # runc before 1.3 made 39 of the default shares (limits.weight), so that its weight may differ from ours; the
        # order of a list of devices says nothing, and before 1.2 it had the tun device.
        found.pop(f"{HERE.v2}/box/cpu.weight", None)
        found.pop(f"{HERE.v2}/box/cpu.weight.nice", None)
        found.pop(f"{HERE.v2}/box/cgroup.controllers", None)  # runc hands on all there are
        for name in [name for name in found if name.endswith("devices.list")]:
            found[name] = " ".join(sorted(line for line in found[name].splitlines() if line != _TUN))
    if HERE.v2 and not HERE.v1:
        ours = {name: text for name, text in ours.items() if name in theirs}  # of controllers that both have
        theirs = {name: text for name, text in theirs.items() if name in ours}
    assert ours == theirs


@pytest.mark.parametrize(
    ("has", "asks"),
    [
        ({"memory": {"limit": 64 * MEGABYTE, "swap": 128 * MEGABYTE}}, ["--memory", "32M"]),
        ({"memory": {"limit": 64 * MEGABYTE}}, ["--memory", "96M", "--memory-swap", "128M"]),
        ({"memory": {"limit": 64 * MEGABYTE, "swap": 64 * MEGABYTE}}, ["--memory", "96M", "--memory-swap", "96M"]),
        ({"memory": {"limit": 64 * MEGABYTE}}, ["--memory", "-1"]),
        ({"cpu": {"quota": 50000, "period": 100000}}, ["--cpu-period", "200000"]),
        ({"cpu": {"quota": 50000, "period": 100000}}, ["--cpu-quota", "20000", "--cpu-share", "100"]),
        ({"pids": {"limit": 20}}, ["--pids-limit", "10"]),
        ({"pids": {"limit": 20}}, ["--pids-limit", "-1", "--cpuset-cpus", "0"]),
        ({}, ["--blkio-weight", "500"]),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "-".join(value),
)
def test_an_update_leaves_the_same(
    runtimes: dict[str, list[str]], tmp_path: Path, has: dict[str, Any], asks: list[str]
) -> None:
    devices = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "b", "major": 7, "access": "r"}]
    start(runtimes, tmp_path, {**has, "devices": devices})
    done = {
        name: subprocess.run([*command, "update", *asks, name], capture_output=True, text=True, timeout=60, check=False)
        for name, command in runtimes.items()
    }
    statuses = {name: each.returncode == 0 for name, each in done.items()}
    assert statuses["ours"] == statuses["runc"], [each.stderr for each in done.values()]
    compare()


def test_statistics_have_runcs_names(runtimes: dict[str, list[str]], tmp_path: Path) -> None:
    start(runtimes, tmp_path, {"memory": {"limit": 64 * MEGABYTE}, "pids": {"limit": 12}})
    said = subprocess.run(
        [*runtimes["runc"], "events", "--stats", "runc"], capture_output=True, text=True, timeout=60, check=True
    )
    theirs = json.loads(said.stdout)["data"]
    ours = statistics.read("/labkit-tests-runc/box", HERE)
    for section in ("cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"):
        for name, value in (theirs.get(section) or {}).items():
            if name == "psi" or not value:
                continue
            assert name in ours[section], f"{section}.{name}: {value}"
            if isinstance(value, dict) and name != "raw":
                assert {key for key, number in value.items() if number} <= set(ours[section][name]), (section, name)
    assert ours["memory"]["usage"]["limit"] == theirs["memory"]["usage"]["limit"] == 64 * MEGABYTE
    assert ours["memory"]["swap"]["limit"] == theirs["memory"]["swap"]["limit"]
    assert ours["pids"]["limit"] == theirs["pids"]["limit"] == 12
    assert wait_for(lambda: statistics.read("/labkit-tests-runc/box", HERE)["pids"]["current"] == 1)


def test_both_refuse_a_group_in_use(runtimes: dict[str, list[str]], tmp_path: Path) -> None:
    start(runtimes, tmp_path, {})
    words = [*runtimes["ours"], "run", "--bundle", str(tmp_path / "bundle-ours"), "second"]
    refused = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
    assert "container's cgroup is not empty: 1 process(es) found" in refused.stderr
    assert not (tmp_path / "ours/second").exists()
