"""Volumes: made by their first use, filled from the image, kept or removed with their container."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import labkit

pytestmark = pytest.mark.root

QUICK = ("run", "--rm", "--network", "none")
ROOT = Path("/var/lib/labkit/volumes")


@pytest.fixture(autouse=True)
def _no_volumes(_as_it_was: None) -> Iterator[None]:
    """What a test makes goes with it; before the machine's picture is compared, after which this fixture began."""
    yield
    containers = labkit("ps", "-aq").stdout.split()
    if containers:
        labkit("rm", "-f", "-v", *containers)
    labkit("volume", "prune", "--all")
    assert not labkit("volume", "ls", "-q").stdout


def inside(*flags: str, script: str) -> str:
    return labkit(*QUICK, *flags, "busybox", "sh", "-c", script).stdout


def test_a_named_volume_outlives_its_containers() -> None:
    inside("-v", "data:/data", script="echo kept > /data/file")
    assert inside("-v", "data:/other:ro", script="cat /other/file; touch /other/x 2>/dev/null || echo fixed") == (
        "kept\nfixed\n"
    )
    assert (ROOT / "data/_data/file").read_text() == "kept\n"
    (found,) = json.loads(labkit("volume", "inspect", "data").stdout)
    assert found["mountpoint"] == found["Mountpoint"] == f"{ROOT}/data/_data"
    assert (found["Name"], found["Labels"], found["Scope"]) == ("data", None, "local")
    assert labkit("volume", "ls", "--format", "{{.Name}} {{.Driver}}").stdout == "data local\n"
    assert labkit("volume", "inspect", "-f", "{{.Mountpoint}}", "data").stdout == f"{found['Mountpoint']}\n"
    assert found["users"] == []


def test_a_new_volume_begins_with_what_the_image_has_there() -> None:
    script = "ls /etc/passwd && stat -c '%a %u %g' /etc"
    before = inside(script=script)
    assert inside("-v", "etc:/etc", script=script) == before
    assert (ROOT / "etc/_data/passwd").exists()
    assert inside("-v", "empty:/etc:nocopy", script="ls /etc | grep -c passwd || true").strip() == "0"
    inside("-v", "etc:/etc", script="rm /etc/passwd")
    assert inside("-v", "etc:/etc", script="test -e /etc/passwd || echo gone") == "gone\n"  # only the first time


def test_volumes_without_names_go_with_rm_and_stay_without_v() -> None:
    inside("-v", "/data", script="touch /data/x")
    assert not labkit("volume", "ls", "-q").stdout
    for words, left in ((("rm", "-v"), 0), (("rm",), 1)):
        labkit("create", "--network", "none", "--name", "box", "-v", "/data", "busybox", "touch", "/data/x")
        labkit("start", "-a", "box")
        labkit(*words, "box")
        assert len(labkit("volume", "ls", "-q").stdout.split()) == left
    assert len(labkit("volume", "prune").stdout.splitlines()) == 2
    assert not labkit("volume", "ls", "-q").stdout


def test_a_volume_in_use_is_not_removed() -> None:
    labkit("volume", "create", "--label", "of=box", "data")
    labkit("create", "--network", "none", "--name", "box", "-v", "data:/data", "busybox", "true")
    refused = labkit("volume", "rm", "data", check=False)
    assert refused.returncode != 0
    assert refused.stderr.startswith("labkit: the volume data is in use by box")
    assert "data" in labkit("volume", "ls").stdout
    labkit("volume", "prune", "--all")
    labkit("rm", "box")
    (found,) = json.loads(labkit("volume", "ls", "--json").stdout)
    assert found["labels"] == ["of=box"]
    assert labkit("volume", "rm", "data").stdout == "data\n"
    missing = labkit("volume", "rm", "data", check=False)
    assert missing.stderr.startswith("labkit: there is no volume data")


def test_a_volume_with_a_name_stays_though_nobody_has_used_it_yet() -> None:
    for words in (("rm",), ("rm", "-v")):
        labkit("create", "--network", "none", "--name", "box", "-v", "data:/etc", "busybox", "true")
        labkit(*words, "box")
        assert labkit("volume", "ls", "-q").stdout == "data\n"
    inside("-v", "data:/etc", script="true")
    assert (ROOT / "data/_data/passwd").exists()


def test_a_bind_and_its_missing_source(tmp_path: Path) -> None:
    inside("-v", f"{tmp_path}/new:/data", script="echo x > /data/file")
    assert (tmp_path / "new/file").read_text() == "x\n"
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o755
    mount = f"type=bind,source={tmp_path}/none,target=/data"
    refused = labkit(*QUICK, "--mount", mount, "busybox", "true", check=False)
    assert refused.returncode == 125
    assert f"there is no {tmp_path}/none" in refused.stderr
    assert not (tmp_path / "none").exists()
    assert (
        inside("--mount", f"type=bind,src={tmp_path},dst=/data,readonly", script="grep ' /data ' /proc/mounts")[:]
        .split()[3]
        .startswith("ro")
    )


def test_mounts_lie_in_one_another_whatever_their_order(tmp_path: Path) -> None:
    script = "echo a > /a/x; echo b > /a/b/x; cat /a/x /a/b/x; ls /a"
    found = inside("-v", "inner:/a/b", "--tmpfs", "/a", script=script)
    assert found == "a\nb\nb\nx\n"


def test_mount_of_every_type() -> None:
    flags = ("--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700", "--mount", "source=data,target=/v")
    found = inside(*flags, script="df -k /t | awk 'NR>1 {print $2}'; stat -c %a /t; echo y > /v/y")
    assert found.split() == ["1024", "700"]
    assert (ROOT / "data/_data/y").exists()


def test_what_was_being_made_by_somebody_who_died_is_taken_away() -> None:
    (ROOT / ".new/_data").mkdir(parents=True)
    (ROOT / ".gone").mkdir()
    (ROOT / ".gone/file").write_text("x")
    labkit("gc")
    assert not (ROOT / ".new").exists()
    assert not (ROOT / ".gone").exists()


def test_a_failed_run_takes_its_new_volume_back() -> None:
    flags = ("-v", "fresh:/data", "--mount", "type=bind,source=/no/such,target=/x")
    assert labkit("run", "--network", "none", *flags, "busybox", "true", check=False).returncode == 125
    assert not labkit("volume", "ls", "-q").stdout
