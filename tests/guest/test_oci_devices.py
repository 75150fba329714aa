"""Device nodes of a bundle: the default ones, and those of linux.devices."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import Bundle

LOOK = "stat -c '%F %t:%T %a %u:%g' "


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


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
