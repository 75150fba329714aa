"""Where mmdebstrap takes packages from: a setting, the host's own apt sources, or its default. None is named here."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from labkit.errors import MissingToolError, UsageError
from labkit.host.lab import programs

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""From the package debian-archive-keyring, which other distributions have, too, and under the same path."""

# Proxies, and what a snapshot or a cache of the archive needs. Everything else of a host's apt is its own business.
_APT_SETTINGS = re.compile(
    r"Acquire::(https?::(Proxy|Timeout|CAInfo|Verify-Peer)\S*|Check-(Valid-Until|Date)|Retries|ForceIPv[46]) "
)


def sources(suite: str) -> list[str]:
    """mmdebstrap's MIRROR arguments for ``suite``: lines of a sources.list, or nothing for its default.

    ``LABKIT_MIRROR`` (the address of a mirror of Debian's archive, e.g. ``http://mirror.example/debian``) comes first.
    A host with the same suite lends its own sources, which are known to work here, and a Debian host with another one
    the addresses of them. UsageError for a setting that is no address.
    """
    mirror = os.environ.get("LABKIT_MIRROR")
    if mirror:
        if not re.fullmatch(r"[a-z]+:/\S+", mirror):
            raise UsageError(f"LABKIT_MIRROR is no address: {mirror}", "It looks like http://mirror.example/debian")
        return [_line(mirror, suite)]
    lent = _host_sources()
    own = [_line(*source) for source in lent if re.fullmatch(rf"{suite}(-updates|-security)?", source[1])]
    # (address, "") of the archive itself and (address, "-security") of the security archive.
    addresses = {(address, known.removeprefix(known.split("-")[0])) for address, known in lent}
    kinds = ("",) if "-" in suite else ("", "-security")  # trixie-backports has no security archive
    return own or [_line(address, suite + kind) for address, kind in sorted(addresses) if kind in kinds]


def keyring() -> Path:
    """The keys that the packages must be signed with. MissingToolError where they are not on this computer."""
    if not KEYRING.exists():
        raise MissingToolError(
            "The keys that sign Debian's packages are not on this computer.",
            "Install the package debian-archive-keyring (or run `python3 bootstrap.py`, which does).",
        )
    return KEYRING


def _line(address: str, suite: str) -> str:
    return f"deb {address} {suite} main"


def _host_sources() -> list[tuple[str, str]]:
    """(address, suite) of each source of Debian's main component that apt of this host uses, whatever file names it."""
    try:
        if platform.freedesktop_os_release()["ID"] != "debian":
            return []
    except OSError:
        return []
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    entries = [line.split() for line in programs.said(command).splitlines()]
    return sorted({(entry[0], entry[1]) for entry in entries if len(entry) == 3 and entry[2] == "main"})


def apt_settings() -> list[str]:
    """The host's apt settings that concern how it reaches its archive, as mmdebstrap's ``--aptopt`` values."""
    return [line for line in programs.said(["apt-config", "dump"]).splitlines() if _APT_SETTINGS.match(line)]
