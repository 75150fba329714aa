from __future__ import annotations

import errno

import pytest

from labkit.errors import KernelError
from labkit.runtime.kernel import capabilities, libc, namespaces


def test_flags_are_combined_and_named() -> None:
    flags = namespaces.flags_of(["pid", "uts", "mnt"])
    assert flags == 0x20000000 | 0x04000000 | 0x00020000
    assert namespaces.words(flags) == "CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWUTS"


def test_capabilities_have_the_kernels_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "last_known", lambda: 40)
    names = ["CAP_CHOWN", "CAP_SYS_ADMIN", "cap_bpf", "CHECKPOINT_RESTORE"]
    assert capabilities.known([*names, "CAP_FLY"]) == ({0, 21, 39, 40}, ["CAP_FLY"])
    monkeypatch.setattr(capabilities, "last_known", lambda: 39)
    assert capabilities.known(names) == ({0, 21, 39}, ["CHECKPOINT_RESTORE"]), "an older kernel"


def test_errno_becomes_words_and_a_hint_in_one_place() -> None:
    with pytest.raises(KernelError, match=r"unshare\(0\): Operation not permitted \(EPERM\)") as caught:
        libc.fail("unshare(0)", errno.EPERM)
    assert "root" in caught.value.hint
    assert caught.value.errno == errno.EPERM
