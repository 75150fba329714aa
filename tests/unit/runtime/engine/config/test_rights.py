from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the guest side is Linux's", allow_module_level=True)

from labkit.errors import UsageError
from labkit.runtime.engine.config import deviceoptions, rights, users
from labkit.runtime.engine.record.options import Options
from labkit.runtime.oci import defaults


def test_capabilities_in_dockers_way() -> None:
    assert rights.granted(Options("x"), True) == sorted(defaults.CAPABILITIES)
    assert "CAP_MKNOD" not in rights.granted(Options("x"), False)
    assert rights.granted(Options("x", cap_drop=["all"], cap_add=["net_raw"]), True) == ["CAP_NET_RAW"]
    assert "CAP_CHOWN" not in rights.granted(Options("x", cap_drop=["CAP_CHOWN"]), True)
    assert "CAP_SYS_ADMIN" in rights.granted(Options("x", cap_add=["SYS_ADMIN"]), True)
    with pytest.raises(UsageError, match="--cap-drop fly names no capability"):
        rights.check_capabilities(["ALL"], ["fly"])


def test_security_options(tmp_path: Path) -> None:
    assert rights.security(["no-new-privileges:true", "seccomp=unconfined"]) == (
        ["no-new-privileges", "seccomp=unconfined"],
        {},
    )
    assert rights.security(["no-new-privileges=false", "apparmor=unconfined", "label=disable"]) == ([], {})
    profile = tmp_path / "profile"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    assert rights.security(["seccomp=unconfined", f"seccomp={profile}"])[0] == []
    for word in ("apparmor=mine", "label=type:x", "colour=red", "seccomp", f"seccomp={tmp_path}", "mask=relative"):
        with pytest.raises(UsageError):
            rights.security([word])


def test_what_is_hidden() -> None:
    masked, readonly = rights.hidden(Options("x", security=["mask=/proc/a:/proc/b", "unmask=/proc/keys"]))
    assert {"/proc/a", "/proc/b"} <= {*masked}
    assert "/proc/keys" not in masked
    assert readonly == defaults.READONLY_PATHS
    assert rights.hidden(Options("x", security=["unmask=ALL"])) == ([], [])
    assert rights.hidden(Options("x", privileged=True)) == ([], [])


def test_a_profile_in_dockers_form() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "x"},
            {"name": "old", "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        ],
    }

    def allowed(capabilities: list[str], release: str) -> list[str]:
        found = rights.for_machine(profile, capabilities, "x86_64", release)
        assert found["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        return [name for rule in found["syscalls"] for name in rule["names"]]

    assert allowed([], "6.1.0-13-amd64") == ["read", "old", "ptrace", "clone"]
    assert allowed(["CAP_SYS_ADMIN"], "4.7") == ["read", "old", "mount"]
    for bad in ({"syscalls": [1]}, {"archMap": [{}]}, {"syscalls": [{"action": "x"}]}):
        with pytest.raises(UsageError, match="has not the form of one"):
            rights.for_machine(bad, [], "x86_64", "6.1")


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:r:/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\nbroken\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nstaff:x:8:\nmusic:x:9:bob,ann\n")
    return str(tmp_path)


def test_users_by_the_images_own_files(root: str) -> None:
    assert users.find([root], "", []) == users.User(0, 0, [0], "/root")
    assert users.find([root], "ann", []) == users.User(7, 8, [8, 9], "/home/ann")
    assert users.find([root], "7", ["20"]) == users.User(7, 8, [8, 9, 20], "/home/ann")
    assert users.find([root], "ann:music", []) == users.User(7, 9, [9], "/home/ann")
    assert users.find([root], "1000", []) == users.User(1000, 0, [0], "/")
    for words in ("eve", "ann:eve", "99999999999"):
        with pytest.raises(UsageError, match="unable to find"):
            users.find([root], words, [])


def test_a_file_of_users_that_leads_out_or_is_none(root: str, tmp_path: Path) -> None:
    os.unlink(f"{root}/etc/passwd")
    os.symlink("/etc/hostname", f"{root}/etc/passwd")  # the container's own, which is not there
    assert users.find([root], "0", []).home == "/"
    os.unlink(f"{root}/etc/passwd")
    os.mkfifo(f"{root}/etc/passwd")
    assert users.find([root], "0", []).home == "/"


def test_devices() -> None:
    assert deviceoptions.parse("/dev/null") == "/dev/null:/dev/null:rwm"
    assert deviceoptions.parse("/dev/null:/dev/x:r") == "/dev/null:/dev/x:r"
    assert deviceoptions.parse("/dev/null:r") == "/dev/null:/dev/null:r"
    for text in ("", "null", "/dev/no-such", "/dev/null:x:r", "/dev/null:/a:/b:r", "/dev/null\0"):
        with pytest.raises(UsageError):
            deviceoptions.parse(text)
    assert deviceoptions.parse_rule("c 1:* rw") == "c 1:* rw"
    with pytest.raises(UsageError):
        deviceoptions.parse_rule("x 1:1 r")
    nodes, rules = deviceoptions.of(Options("x", devices=["/dev/null:/dev/x:r"], device_rules=["b 8:* m"]), True)
    assert [(node["path"], node["major"], node["minor"]) for node in nodes] == [("/dev/x", 1, 3)]
    assert rules == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
        {"allow": True, "type": "b", "major": 8, "access": "m"},
    ]
