from __future__ import annotations

import errno
import sys

import pytest

from labkit.runtime.oci import default_seccomp, defaults
from labkit.runtime.oci.spec import seccomp
from labkit.runtime.text.document import Reader

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it asks uname(2)")


def _allowed(capabilities: list[str], machine: str = "x86_64") -> set[str]:
    document = default_seccomp.profile(capabilities, machine)
    rules = seccomp.read(Reader(document, "config.json", "linux.seccomp")).rules
    return {name for rule in rules if rule.action == "SCMP_ACT_ALLOW" and not rule.comparisons for name in rule.names}


def test_it_is_a_list_of_what_is_allowed() -> None:
    document = default_seccomp.profile([], "x86_64")
    assert (document["defaultAction"], document["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", errno.EPERM)
    assert document["architectures"][0] == "SCMP_ARCH_X86_64"
    assert {"read", "write", "execve", "futex", "arch_prctl"} <= _allowed([])
    assert "cacheflush" in _allowed([], "aarch64") - _allowed([], "x86_64")


@pytest.mark.parametrize(
    "name",
    "mount umount2 unshare setns keyctl add_key bpf init_module kexec_load reboot swapon io_uring_setup clone "
    "clone3 userfaultfd open_by_handle_at perf_event_open pivot_root open_tree move_mount syslog settimeofday".split(),
)
def test_what_has_been_a_way_out_is_not_in_it(name: str) -> None:
    assert name not in _allowed(defaults.CAPABILITIES)


def test_a_capability_brings_its_calls_back() -> None:
    assert "chroot" in _allowed(["CAP_SYS_CHROOT"]) - _allowed([])
    assert {"mount", "clone", "clone3"} <= _allowed(["CAP_SYS_ADMIN"])


def test_new_namespaces_are_told_from_new_processes() -> None:
    rules = {rule["names"][0]: rule for rule in default_seccomp.profile([], "x86_64")["syscalls"]}
    assert rules["clone"]["args"][0]["value"] == 0x7E020000
    assert rules["clone3"]["errnoRet"] == errno.ENOSYS
