"""Vagrant and its providers: another way to a machine, for those who have one set up. Nothing of it is needed."""

from __future__ import annotations

import os
import re

from labkit.host.checks.finding import Finding, info, ok, warning
from labkit.host.lab import programs
from labkit.host.lab.config import VAGRANT_PROVIDERS
from labkit.host.machines import vagrantproviders
from labkit.host.machines.vagranthypervisor import session_hint

PLUGINS = {"libvirt": "vagrant-libvirt", "vmware_desktop": "vagrant-vmware-desktop", "parallels": "vagrant-parallels"}
"""The providers that Vagrant does not bring itself."""


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
    if vagrant().verdict != "ok":
        return None
    return _providers()


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
