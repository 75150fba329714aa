"""What runs a machine: QEMU, and how fast it can be (which accelerator is there, and which was proved by a boot).

Vagrant and its providers are another way to a machine, for those who have one set up. Nothing of it is needed.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from labkit.errors import MissingToolError, UsageError
from labkit.host.checks.finding import Finding, info, ok, problem, warning
from labkit.host.lab import programs
from labkit.host.lab.config import VAGRANT_PROVIDERS
from labkit.host.machines import accelerator as proofs
from labkit.host.machines import qemucommand, vagrantproviders
from labkit.host.machines.vagranthypervisor import session_hint

OLDEST_QEMU = (5, 2)
"""Debian 11's, the oldest that was thought of; snapshots and user-mode networking are older still."""

PLUGINS = {"libvirt": "vagrant-libvirt", "vmware_desktop": "vagrant-vmware-desktop", "parallels": "vagrant-parallels"}
"""The providers that Vagrant does not bring itself."""


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
        why, remedy = what_is_missing()
        return warning(f"{proofs.SOFTWARE} (software emulation): {why}", remedy)
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


def what_is_missing() -> tuple[str, str]:
    """Why there is no candidate on this computer, and what to do about it."""
    nothing = "Nothing needs to be done: everything works, slower."
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "no accelerator runs the lab's x86-64 machine on another processor", nothing
    if sys.platform != "linux":
        return f"nothing is known for {sys.platform}", nothing
    if Path("/dev/kvm").exists():
        remedy = "Join the group that owns /dev/kvm (`sudo usermod --append --groups kvm $USER`) and log in again."
        return "/dev/kvm cannot be opened by this user", remedy
    remedy = "For KVM: turn virtualisation on in the firmware, and `sudo modprobe kvm_intel` (or `kvm_amd`)."
    return "there is no /dev/kvm", remedy


def vagrant() -> Finding:
    """Its version."""
    path = programs.find("vagrant")
    if path is None:
        return info("not installed, and not needed: QEMU is what the lab uses by default")
    version = programs.first_line([path, "--version"], seconds=60)
    if version is None:
        remedy = f"Run `{path} --version` to see why. The lab does without it unless lab.yaml says otherwise."
        return warning(f"{path} is there and does not work", remedy)
    return ok(f"{version} ({path})")


def vagrant_providers() -> Finding | None:
    """Those that have program and plugin: for `invoke up --provider NAME`."""
    return _providers() if vagrant().verdict == "ok" else None


def _providers() -> Finding:
    found = [provider for provider in VAGRANT_PROVIDERS if not vagrantproviders.why_not(provider)]
    if not found:
        remedy = f"Install one of {', '.join(VAGRANT_PROVIDERS)} if you want to use Vagrant."
        return warning("no provider's program was found", remedy)
    installed = _plugins()
    without = [provider for provider in found if provider in PLUGINS and PLUGINS[provider] not in installed]
    if without:
        what = f"{', '.join(found)}; Vagrant lacks the plugin for {', '.join(without)}"
        remedy = "; ".join(f"`vagrant plugin install {PLUGINS[provider]}`" for provider in without)
        return warning(what, f"{remedy}, or your distribution's package of it.")
    if "libvirt" in found and session_hint().startswith("XDG"):
        what = f"{', '.join(found)}; libvirt's session cannot use {os.environ['XDG_RUNTIME_DIR']} (XDG_RUNTIME_DIR)"
        return warning(what, "Log in as this user (not by `su`), or `unset XDG_RUNTIME_DIR`.")
    return ok(", ".join(found))


def _plugins() -> set[str]:
    """The names of Vagrant's plugins; none where it does not say."""
    said = programs.said([programs.find("vagrant") or "vagrant", "plugin", "list"], seconds=60)
    return set(re.findall(r"^(\S+) \(", said, re.MULTILINE))
