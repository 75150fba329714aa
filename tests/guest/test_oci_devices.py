"""Device nodes of a bundle: the default ones, and those of linux.devices."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import Bundle
from programs import LABKIT_OCI

LOOK = "stat -c '%F %t:%T %a %u:%g' "


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def reachable() -> Iterator[Bundle]:
    """Where the root of a user namespace can reach it, who cannot reach pytest's own directories."""
    with tempfile.TemporaryDirectory(prefix="labkit-bundle-") as place:
        os.chmod(place, 0o755)
        yield Bundle(Path(place, "bundle"))


def _node(path: str, kind: str, *numbers: int, **more: int) -> dict[str, object]:
    return {"path": path, "type": kind, **dict(zip(("major", "minor"), numbers)), **more}


def test_the_default_nodes_and_links(bundle: Bundle) -> None:
    said = bundle.run(
        "for name in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$name; done;"
        "for name in fd stdin stdout stderr ptmx; do readlink /dev/$name; done"
    )
    assert said.splitlines() == [
        *[f"/dev/{name} 1:{minor} 666" for name, minor in (("null", 3), ("zero", 5), ("full", 7))],
        *[f"/dev/{name} 1:{minor} 666" for name, minor in (("random", 8), ("urandom", 9))],
        "/dev/tty 5:0 666",
        *["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"],
    ]


def test_nodes_of_every_kind(bundle: Bundle) -> None:
    bundle.config["linux"]["devices"] = [
        _node("/dev/first", "c", 1, 3, fileMode=0o600, uid=7, gid=8),
        _node("/deep/er/disk", "b", 8, 0, fileMode=0o640),
        _node("/dev/unbuffered", "u", 1, 5),
        _node("/dev/pipe", "p", fileMode=0o622),
        _node("/dev/null", "c", 1, 3, fileMode=0o606),
    ]
    said = bundle.run(LOOK + "/dev/first /deep/er/disk /dev/unbuffered /dev/pipe /dev/null")
    assert said.splitlines() == [
        "character special file 1:3 600 7:8",
        "block special file 8:0 640 0:0",
        "character special file 1:5 666 0:0",
        "fifo 0:0 622 0:0",
        "character special file 1:3 606 0:0",
    ]


def test_a_node_that_is_there_must_be_the_same(bundle: Bundle) -> None:
    bundle.config["linux"]["devices"] = [_node("/etc/node", "c", 1, 3)]
    (bundle.rootfs / "etc/node").write_text("no device")
    assert "/etc/node is in the root file system already, and is not that device" in bundle.refusal()
    (bundle.rootfs / "etc/node").unlink()
    assert bundle.run(LOOK + "/etc/node") == bundle.run(LOOK + "/etc/node"), "made by the first, kept by the second"


def test_a_dev_of_the_host_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    own = tmp_path / "dev"
    own.mkdir()
    bundle.config["mounts"] = [
        mount for mount in bundle.config["mounts"] if not mount["destination"].startswith("/dev")
    ]
    bundle.mount("/dev", "bind", str(own), "bind")
    bundle.run("true")
    assert list(own.iterdir()) == []


def test_a_read_only_dev_has_its_nodes(bundle: Bundle) -> None:
    for mount in bundle.config["mounts"]:
        if mount["destination"] == "/dev":
            mount["options"].append("ro")
    assert bundle.run("touch /dev/x || echo refused; echo x > /dev/null && ls /dev/null").split() == [
        "refused",
        "/dev/null",
    ]


def test_a_node_that_the_host_lacks_in_a_user_namespace(bundle: Bundle) -> None:
    ids = [{"containerID": 0, "hostID": 0, "size": 4294967295}]
    bundle.in_user_namespace()
    bundle.config["linux"].update(uidMappings=ids, gidMappings=ids)
    bundle.config["linux"]["devices"] = [
        _node("/dev/mynull", "c", 1, 3, fileMode=0o640, uid=7, gid=8),
        _node("/dev/zero", "c", 1, 3),  # which the host has, as another device
        _node("/deep/er/full", "u", 1, 7),
    ]
    before = Path("/proc/self/mountinfo").read_text()
    done = bundle.try_to_run(
        LOOK + "/dev/mynull /dev/zero /deep/er/full; echo gone > /dev/mynull; cat /dev/mynull /dev/zero;"
        "echo x > /deep/er/full || grep -c ' - tmpfs devices ' /proc/self/mountinfo"
    )
    assert "No space left" in done.stderr, "what /dev/full says"
    assert done.stdout.splitlines() == [
        "character special file 1:3 640 7:8",
        "character special file 1:3 666 0:0",
        "character special file 1:7 666 0:0",
        "3",
    ]
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not list((bundle.directory / "state").iterdir())


def test_a_made_node_belongs_to_who_is_meant_inside(reachable: Bundle) -> None:
    bundle = reachable
    bundle.in_user_namespace()
    bundle.config["linux"]["devices"] = [_node("/dev/mynull", "c", 1, 3, fileMode=0o600, uid=7, gid=0)]
    assert bundle.run(LOOK + "/dev/mynull; echo > /dev/mynull").split("\n")[0].endswith(" 1:3 600 7:0")
    bundle.config["linux"]["devices"][0]["uid"] = 70000
    assert "/dev/mynull would belong to 70000" in bundle.refusal()


def test_a_runtime_in_a_user_namespace_makes_no_node(reachable: Bundle) -> None:
    bundle, ids = reachable, [{"containerID": 0, "hostID": 0, "size": 1}]
    bundle.in_user_namespace()
    bundle.config["linux"].update(uidMappings=ids, gidMappings=ids, devices=[_node("/dev/mynull", "c", 1, 3)])
    bundle.config["linux"].pop("cgroupsPath")
    # A terminal's group and the host's /sys and groups are nothing for a user without root.
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] in ("proc", "tmpfs")]
    bundle.execute(["true"])  # for its config.json
    runtime = [*LABKIT_OCI, "--root", str(bundle.directory / "state"), "run", "--bundle", str(bundle.directory), "one"]
    ours = "unshare --user --map-root-user".split()
    said = subprocess.run([*ours, *runtime], text=True, capture_output=True, timeout=60, check=False)
    assert "the device /dev/mynull cannot be made in a user namespace, and the host has none there" in said.stderr


def test_a_runtime_without_root_makes_no_node(reachable: Bundle) -> None:
    bundle = reachable
    ids = [{"containerID": 0, "hostID": 4711, "size": 1}]
    bundle.in_user_namespace()
    bundle.config["linux"].update(uidMappings=ids, gidMappings=ids, devices=[_node("/dev/mynull", "c", 1, 3)])
    bundle.config["linux"].pop("cgroupsPath")
    bundle.config["linux"].pop("resources")
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] in ("proc", "tmpfs")]
    bundle.execute(["true"])  # for its config.json
    for place, directories, files in os.walk(bundle.directory):
        for name in (".", *directories, *files):
            os.chown(os.path.join(place, name), 4711, 4711, follow_symlinks=False)
    runtime = [*LABKIT_OCI, "--root", str(bundle.directory / "own"), "run", "--bundle", str(bundle.directory), "one"]
    him = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"]
    if subprocess.run([*him, "unshare", "--user", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel gives users no user namespaces")
    said = subprocess.run([*him, *runtime], text=True, capture_output=True, timeout=60, check=False)
    assert "the device /dev/mynull cannot be made in a user namespace, and the host has none there" in said.stderr
