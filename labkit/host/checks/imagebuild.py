"""Can the guest image be built here? That takes Debian's mmdebstrap, mke2fs, and the right to own files as root."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from labkit.host import paths
from labkit.host.checks.finding import Finding, first_line, program

BRING_IT = "Build it on a Linux computer (`invoke up` there) and copy that one's cache directory, or set LABKIT_CACHE."


def programs() -> Finding:
    """The programs of the build."""
    if _an_image_is_there():
        return Finding("image build", "ok", f"an image is there already, in {paths.cache_dir() / 'images'}")
    if sys.platform != "linux":
        return Finding("image build", "problem", f"the image cannot be built on {sys.platform}", BRING_IT)
    missing = [name for name in ("mmdebstrap", "mke2fs") if program(name) is None]
    if missing:
        return Finding(
            "image build",
            "problem",
            f"not installed: {', '.join(missing)}",
            "Run `python3 bootstrap.py`: it installs them.",
        )
    return Finding("image build", "ok", f"{program('mmdebstrap')}, {program('mke2fs')}")


def rights() -> Finding:
    """Root, or a range of subordinate user ids and the programs that map them (subuid(5), newuidmap(1))."""
    name = "build rights"
    if sys.platform != "linux":
        return Finding(name, "info", "not needed here: the image is brought, not built")
    if os.geteuid() == 0:
        return Finding(name, "ok", "root")
    lacking = _what_lacks(getpass.getuser(), os.getuid())
    if not lacking:
        return Finding(name, "ok", "an ordinary user with subordinate ids and user namespaces")
    what, remedy = lacking
    if _an_image_is_there():
        return Finding(name, "info", f"{what}; an image is there already, so nothing has to be built")
    return Finding(name, "problem", what, remedy)


def _what_lacks(user: str, uid: int) -> tuple[str, str] | None:
    """What keeps an ordinary user from building, and the remedy; None if nothing does."""
    for helper in ("newuidmap", "newgidmap"):
        if program(helper) is None:
            return f"{helper} is not installed", "Install uidmap (Debian, Ubuntu) or shadow-utils."
    for table in ("/etc/subuid", "/etc/subgid"):
        if not has_range(Path(table), user, uid):
            return (
                f"{table} gives {user} no 65536 ids",
                f"Run `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`.",
            )
    unshare = program("unshare")
    if unshare and first_line([unshare, "--user", "--map-root-user", "echo", "yes"]) != "yes":
        return (
            "this kernel gives ordinary users no user namespace",
            "Run `sudo sysctl kernel.unprivileged_userns_clone=1` (older Debian), or on Ubuntu "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or build as root.",
        )
    return None


def has_range(table: Path, user: str, uid: int) -> bool:
    """Whether a line ``name-or-number:first:count`` of subuid(5) gives the user a whole range of 65536 ids."""
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        parts = line.split(":")
        if len(parts) == 3 and parts[0] in (user, str(uid)) and parts[2].strip().isdigit() and int(parts[2]) >= 65536:
            return True
    return False


def _an_image_is_there() -> bool:
    images = paths.cache_dir() / "images"
    return images.is_dir() and any((entry / "manifest.json").is_file() for entry in images.iterdir())
