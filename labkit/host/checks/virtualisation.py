"""QEMU, and how fast it can be: which accelerator is there, and which was proved by a boot."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from labkit.errors import MissingToolError, UsageError
from labkit.host.checks.finding import Finding, info, ok, problem, warning
from labkit.host.machines import accelerator as proofs
from labkit.host.machines import qemucommand

OLDEST_QEMU = (5, 2)
"""Debian 11's, the oldest that was thought of; snapshots and user-mode networking are older still."""


def qemu() -> Finding:
    """The emulator (and its disk tool) that the lab would use, and its version."""
    try:
        found = qemucommand.find()
    except MissingToolError as error:
        return problem(error.message, error.hint or "Run `python3 bootstrap.py`: it installs it.")
    what = f"{found.version} ({found.program}, {found.image_program})"
    version = numbers(found.version)
    if version < OLDEST_QEMU:
        return warning(f"{what} is older than any that was tried", "Install QEMU 6 or newer.")
    return ok(what)


def numbers(version: str) -> tuple[int, ...]:
    """``7.2.22`` as numbers that can be compared; empty, which is less than anything, where there are none."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def accelerator() -> Finding:
    """Software emulation always works. Whether something faster does is only known once a machine booted with it."""
    chosen = os.environ.get("LABKIT_ACCEL")
    if chosen:
        try:
            proofs.arguments(chosen)
        except UsageError as error:
            return problem(error.message, error.hint)
        return info(f"{chosen}, because LABKIT_ACCEL says so")
    candidates = [name for name in proofs.candidates() if name != proofs.SOFTWARE]
    if not candidates:
        what = f"{proofs.SOFTWARE} (software emulation): {what_is_missing()}"
        return warning(what, _how_to_get_one())
    try:
        found = qemucommand.find()
    except MissingToolError:
        return info(f"{', '.join(candidates)} may work; without QEMU it cannot be tried")
    refused = []
    for name in candidates:
        verdict = proofs.remembered(name, found)
        if verdict is None:
            return info(f"{name} may work; the first `invoke up` tries it by a boot")
        if verdict.works:
            return ok(f"{name}, proved by a boot: {verdict.why}")
        refused.append(f"{name} was tried and {verdict.why}")
    return warning(
        f"{proofs.SOFTWARE} (software emulation): {'; '.join(refused)}",
        "Nothing needs to be done: everything works, slower. In a virtual machine, allow nested virtualisation.",
    )


def what_is_missing() -> str:
    """Why there is no candidate on this computer."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "no accelerator runs the lab's x86-64 machine on another processor"
    if sys.platform == "linux":
        return "/dev/kvm cannot be opened by this user" if Path("/dev/kvm").exists() else "there is no /dev/kvm"
    return f"nothing is known for {sys.platform}"


def _how_to_get_one() -> str:
    if sys.platform == "linux" and Path("/dev/kvm").exists():
        return "Join the group that owns /dev/kvm (`sudo usermod --append --groups kvm $USER`) and log in again."
    if sys.platform == "linux":
        return "For KVM: turn virtualisation on in the firmware, and `sudo modprobe kvm_intel` (or `kvm_amd`)."
    return "Nothing needs to be done: everything works, slower."
