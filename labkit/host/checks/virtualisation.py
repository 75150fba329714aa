"""QEMU, and how fast it can be: which accelerator is there, and which was proved by a boot."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from labkit.host.checks.finding import Finding, first_line, program

EMULATOR = "qemu-system-x86_64"

OLDEST_QEMU = (5, 2)
"""Debian 11's, the oldest that was thought of; snapshots and user-mode networking are older still."""


def qemu() -> list[Finding]:
    """The emulator and its disk tool."""
    return [_emulator(), _disk_tool()]


def _emulator() -> Finding:
    path = program(EMULATOR)
    if path is None:
        return Finding("qemu", "problem", f"{EMULATOR} is not installed", "Run `python3 bootstrap.py`: it installs it.")
    said = first_line([path, "--version"])
    version = parse_version(said or "")
    if version is None:
        return Finding("qemu", "problem", f"{path} does not say its version", "Install QEMU again.")
    what = f"{'.'.join(str(number) for number in version)} ({path})"
    if version < OLDEST_QEMU:
        return Finding("qemu", "warning", f"{what} is older than any that was tried", "Install QEMU 6 or newer.")
    return Finding("qemu", "ok", what)


def _disk_tool() -> Finding:
    path = program("qemu-img")
    if path is None:
        return Finding("qemu-img", "problem", "it is not installed", "Run `python3 bootstrap.py`: it installs it.")
    return Finding("qemu-img", "ok", path)


def parse_version(text: str) -> tuple[int, ...] | None:
    """The numbers of ``QEMU emulator version 7.2.9 (Debian …)``; None where there are none."""
    found = re.search(r"version (\d+(?:\.\d+)+)", text)
    return tuple(int(number) for number in found[1].split(".")) if found else None


def accelerator() -> Finding:
    """Software emulation always works. Whether something faster does is only known once a machine booted with it."""
    chosen, proved = os.environ.get("LABKIT_ACCEL"), remembered()
    candidate, seen = candidate_here()
    if chosen:
        return Finding("accelerator", "info", f"{chosen}, because LABKIT_ACCEL says so; here: {seen}")
    if proved == "tcg" and candidate:
        return Finding(
            "accelerator",
            "warning",
            f"tcg (software emulation): {seen}, but a machine that was tried with {candidate} did not boot",
            "Nothing needs to be done: everything works, slower. In a virtual machine, allow nested virtualisation.",
        )
    if proved == "tcg":
        return Finding("accelerator", "warning", f"tcg (software emulation): {seen}", _how_to_get_one())
    if proved:
        return Finding("accelerator", "ok", f"{proved}, proved by a boot")
    if candidate:
        return Finding("accelerator", "info", f"not proved yet; {seen}. The first `invoke up` tries it by a boot")
    return Finding("accelerator", "warning", f"none: {seen}. Software emulation (tcg) will be used", _how_to_get_one())


def remembered() -> str | None:
    """Which accelerator a boot has proved on this computer; None before the first ``invoke up``."""
    from labkit.host.machines import accel  # (paramiko comes with it, which is slow to import)

    return accel.remembered()


def candidate_here() -> tuple[str | None, str]:
    """The accelerator that may work here, if any, and what was seen of it."""
    if sys.platform == "linux":
        return _kvm(Path("/dev/kvm"))
    if sys.platform == "darwin":
        if platform.machine() != "x86_64":
            return None, "hvf runs only guests of the same architecture, and the lab's machine is x86-64"
        supported = first_line(["sysctl", "-n", "kern.hv_support"]) == "1"
        return ("hvf", "the processor supports hvf") if supported else (None, "this Mac does not support hvf")
    if sys.platform == "win32":
        library = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "WinHvPlatform.dll"
        if library.exists():
            return "whpx", "the Windows Hypervisor Platform is there"
        return None, "the Windows Hypervisor Platform is not turned on"
    return None, f"nothing is known for {sys.platform}"


def _kvm(device: Path) -> tuple[str | None, str]:
    """Open it as QEMU does: the file's mode alone does not tell (ACLs, devices cgroup)."""
    if not device.exists():
        return None, f"there is no {device}"
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        return None, f"{device} cannot be opened ({error.strerror})"
    return "kvm", f"{device} opens"


def _how_to_get_one() -> str:
    if sys.platform == "linux":
        return "For KVM: turn virtualisation on in the firmware, `modprobe kvm_intel` or `kvm_amd`, join the group kvm."
    if sys.platform == "win32":
        return "Turn on the Windows feature “Windows Hypervisor Platform” and start the computer again."
    return "Nothing needs to be done: everything works, slower."
