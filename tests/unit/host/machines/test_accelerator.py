"""Accelerators are proved: by programs that behave as QEMU does where all is well, where it hangs, where it crashes."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

import pytest
from standins import POSIX_ONLY, make_program

from labkit.errors import UsageError
from labkit.host.image.kernels import Kernel
from labkit.host.lab import paths
from labkit.host.machines import accelerator
from labkit.host.machines.qemucommand import Qemu

pytestmark = POSIX_ONLY

BOOTS = "echo '[    0.000000] Linux version 6.1'; echo '[    0.9] Run /init as init process'; exec sleep 60"
HANGS = "exec sleep 60"
SPEAKS_AND_HANGS = "echo '[    0.000000] Linux version 6.1'; exec sleep 60"
CRASHES = "echo 'kvm: Assertion failed' >&2; exit 134"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    names = ("vmlinuz", "initrd", "modules.qcow2")
    return Kernel(tmp_path, *[tmp_path / name for name in names], "6.1", "digest")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "FIRST_WORD_LIMIT", 0.5)
    monkeypatch.setattr(accelerator, "BOOT_LIMIT", 1.0)


@pytest.fixture
def with_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "candidates", lambda: ["kvm", "tcg"])


def qemu(directory: Path, script: str, version: str = "7.2") -> Qemu:
    return Qemu(str(make_program(directory, "qemu", script)), "qemu-img", version)


def test_a_guest_that_boots(tmp_path: Path, kernel: Kernel) -> None:
    verdict = accelerator.prove("kvm", qemu(tmp_path, BOOTS), kernel)
    assert verdict.works
    assert "boots in" in verdict.why


@pytest.mark.parametrize(
    ("script", "why"),
    [(HANGS, "not a word"), (SPEAKS_AND_HANGS, "does not start a program"), (CRASHES, "Assertion failed")],
)
@pytest.mark.usefixtures("limits")
def test_a_guest_that_does_not(tmp_path: Path, kernel: Kernel, script: str, why: str) -> None:
    started = time.monotonic()
    verdict = accelerator.prove("kvm", qemu(tmp_path, script), kernel)
    assert not verdict.works
    assert why in verdict.why
    assert time.monotonic() - started < 10, "nobody waits for the hanging guest to end"


@pytest.mark.usefixtures("limits", "with_kvm")
def test_the_verdict_is_remembered_for_this_qemu(tmp_path: Path, kernel: Kernel) -> None:
    old = qemu(tmp_path, CRASHES)
    assert accelerator.choose(old, kernel) == "tcg"
    verdict = accelerator.remembered("kvm", old)
    assert verdict is not None
    assert not verdict.works
    # The program boots now; but it was proved that this version does not.
    assert accelerator.choose(qemu(tmp_path, BOOTS), kernel) == "tcg"
    assert accelerator.choose(qemu(tmp_path, BOOTS, version="9.0"), kernel) == "kvm"


@pytest.mark.usefixtures("limits", "with_kvm")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"kvm, QEMU 7.2": 1}'])
def test_a_file_of_verdicts_that_cannot_be_read(tmp_path: Path, kernel: Kernel, text: str) -> None:
    paths.cache_dir().mkdir(parents=True)
    (paths.cache_dir() / "accelerators.json").write_text(text, encoding="utf-8")
    assert accelerator.choose(qemu(tmp_path, BOOTS), kernel) == "kvm"


def test_the_environment_decides(tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ACCEL", "tcg")
    assert accelerator.choose(qemu(tmp_path, CRASHES), kernel) == "tcg"
    monkeypatch.setenv("LABKIT_ACCEL", "kmv")
    with pytest.raises(UsageError, match="kmv") as caught:
        accelerator.choose(qemu(tmp_path, CRASHES), kernel)
    assert "kvm" in caught.value.hint


@pytest.mark.parametrize(
    ("system", "processor", "expected"),
    [
        ("darwin", "x86_64", ["hvf", "tcg"]),
        ("darwin", "arm64", ["tcg"]),
        ("win32", "AMD64", ["whpx", "tcg"]),
        ("linux", "aarch64", ["tcg"]),
    ],
)
def test_candidates(system: str, processor: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    assert accelerator.candidates() == expected


def test_only_an_emulated_guest_is_told_to_trust_its_time_stamp_counter() -> None:
    """A virtual machine has a clock of its hypervisor's, which a counter that stops or jumps must not replace."""
    assert accelerator.kernel_parameters("tcg") == "tsc=reliable"
    assert {accelerator.kernel_parameters(name) for name in ("kvm", "hvf", "whpx")} == {""}


@pytest.mark.usefixtures("with_kvm")
def test_a_verdict_that_cannot_be_remembered_holds(
    tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    assert accelerator.choose(qemu(tmp_path, BOOTS), kernel) == "kvm"
    assert accelerator.remembered("kvm", qemu(tmp_path, BOOTS)) is None
