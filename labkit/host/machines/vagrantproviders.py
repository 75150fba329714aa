"""Vagrant's providers: which of them this computer has, and how to get one.

Only what can be seen without starting anything: programs and services. That they also work is seen when they are used.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit.errors import MissingToolError
from labkit.host.lab import programs
from labkit.host.lab.config import PROVIDERS, VAGRANT_PROVIDERS
from labkit.host.machines import qemucommand

PROGRAMS = {
    "libvirt": ("virsh",),
    "virtualbox": ("VBoxManage",),
    "vmware_desktop": ("vmrun", "vagrant-vmware-utility"),
    "parallels": ("prlctl",),
}
"""A provider -> programs of which one must be there. Hyper-V has a service instead."""

HOW_TO_GET = {
    "vagrant": "Install it: https://developer.hashicorp.com/vagrant/install (Debian: `sudo apt-get install vagrant`).",
    "libvirt": "Install it (Debian: `sudo apt-get install vagrant-libvirt libvirt-daemon libvirt-clients`).",
    "virtualbox": "Install VirtualBox: https://www.virtualbox.org/.",
    "vmware_desktop": "Install VMware Workstation or Fusion, and Vagrant's VMware utility and plugin.",
    "parallels": "Install Parallels Desktop Pro (macOS), and `vagrant plugin install vagrant-parallels`.",
    "hyperv": "Turn Hyper-V on in Windows' features (Pro and Enterprise have it), and use a shell with its rights.",
}


def why_not(provider: str) -> str:
    """What this computer lacks for ``provider``, in a few words; empty where nothing is known to be missing."""
    if provider == "qemu":
        try:
            qemucommand.find()
        except MissingToolError as error:
            return error.message.rstrip(".")
        return ""
    if programs.find("vagrant") is None:
        return "Vagrant is not installed"
    if provider == "hyperv":
        # Its management service is there only where the feature is turned on.
        service = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "vmms.exe")
        return "" if service.exists() else "Hyper-V is not there"
    names = PROGRAMS[provider]
    return "" if any(programs.find(name) for name in names) else f"{' or '.join(names)} is not installed"


def require(provider: str) -> None:
    """MissingToolError where ``provider``, one of Vagrant's, cannot be used here: it says which one can."""
    if reason := why_not(provider):
        raise unusable(provider, reason)


def unusable(provider: str, reason: str) -> MissingToolError:
    """The error that names the reason, how to get it, and what can be used instead."""
    assert provider in VAGRANT_PROVIDERS
    get = HOW_TO_GET["vagrant" if reason.startswith("Vagrant is not") else provider]
    others = [name for name in PROVIDERS if name != provider and not why_not(name)]
    instead = f" What can be used here: {', '.join(others)}." if others else ""
    return MissingToolError(f"The provider {provider} cannot be used here: {reason}.", get + instead)
