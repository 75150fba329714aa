"""Vagrant and its providers: another way to a machine, for those who have one set up. Nothing of it is needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from labkit.host.checks.finding import Finding, first_line, program

PROVIDERS = {
    "virtualbox": ("VBoxManage",),
    "vmware": ("vmrun", "vagrant-vmware-utility"),
    "parallels": ("prlctl",),
    "libvirt": ("virsh", "libvirtd"),
}
"""Vagrant's name of a provider -> programs of which one must be there."""


def vagrant() -> list[Finding]:
    """Its version, and which providers' programs exist."""
    path = program("vagrant")
    if path is None:
        return [Finding("vagrant", "info", "not installed, and not needed: QEMU is what the lab uses by default")]
    version = first_line([path, "--version"], seconds=60)
    if version is None:
        remedy = f"Run `{path} --version` to see why. The lab does without it unless lab.yaml says otherwise."
        return [Finding("vagrant", "warning", f"{path} is there and does not work", remedy)]
    return [Finding("vagrant", "ok", f"{version} ({path})"), _providers()]


def _providers() -> Finding:
    found = [name for name, programs in PROVIDERS.items() if any(program(each) for each in programs)]
    if sys.platform == "win32":
        # The management service of Hyper-V is there only where the feature is turned on.
        service = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "vmms.exe"
        found += ["hyperv"] if service.exists() else []
    if found:
        return Finding("vagrant providers", "ok", ", ".join(found))
    return Finding(
        "vagrant providers",
        "warning",
        "no provider's program was found",
        f"Install one of {', '.join(PROVIDERS)} if you want to use Vagrant.",
    )
