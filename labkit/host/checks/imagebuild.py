"""Can guest image and kernel be made here? That takes mmdebstrap, mke2fs, and the right to own files as root."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from pathlib import Path

from labkit.host.checks.finding import Finding, gib, info, ok, problem
from labkit.host.image import guestimage, kernels
from labkit.host.image.building import mmdebstrap
from labkit.host.lab import config, paths, programs

BRING_IT = "Run `invoke up` once on an x86-64 Linux computer (or in WSL), and copy those directories of its cache here."


def missing() -> list[Path]:
    """What of the default machine's image and kernel is not in the cache, or not whole: where it belongs."""
    lab = config.load()
    kernel = lab.kernels[lab.machine(None).kernel]
    places = []
    if guestimage.find() is None:
        places.append(guestimage.KIND.place / guestimage.current_key())
    if kernels.find(kernel) is None:
        places.append(kernels.KIND.place / kernels.current_key(kernel))
    return places


def image() -> Finding:
    """Image and kernel are there, or what makes them."""
    places = missing()
    if not places:
        return ok(f"built already, and the kernel is there: {paths.cache_dir()}")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        where, here = ", ".join(map(str, places)), f"{platform.system()} on {platform.machine()}"
        return problem(f"not there: {where}; it cannot be built on {here}", BRING_IT)
    absent = [name for name in mmdebstrap.TOOLS if programs.find(name) is None]
    if absent:
        what = f"not built yet, and not installed: {', '.join(absent)}"
        return problem(what, "Run `python3 bootstrap.py`: it installs them.")
    scratch = max(mmdebstrap.free_scratch().values(), default=0)
    if scratch < mmdebstrap.SPACE_NEEDED:
        return problem(
            f"building takes {gib(mmdebstrap.SPACE_NEEDED)} of temporary space, and {gib(scratch)} are free",
            "Make room in /var/tmp, or name a directory on another disk in TMPDIR.",
        )
    return ok(f"not built yet; {', '.join(mmdebstrap.TOOLS)} are there, {gib(scratch)} to work in")


def rights() -> Finding:
    """Root, or a range of subordinate user ids and the programs that map them (subuid(5), newuidmap(1))."""
    if sys.platform != "linux":
        return info("not needed here: the image is brought, not built")
    if os.geteuid() == 0:
        return ok("root")
    lacking = _what_lacks(getpass.getuser(), os.getuid())
    if not lacking:
        return ok("an ordinary user with subordinate ids and user namespaces")
    what, remedy = lacking
    if not missing():
        return info(f"{what}; an image is there already, so nothing has to be built")
    return problem(what, remedy)


def _what_lacks(user: str, uid: int) -> tuple[str, str] | None:
    """What keeps an ordinary user from building, and the remedy; None if nothing does."""
    for helper in ("newuidmap", "newgidmap"):
        if programs.find(helper) is None:
            return f"{helper} is not installed", "Install uidmap (Debian, Ubuntu) or shadow-utils."
    for table in ("/etc/subuid", "/etc/subgid"):
        if not has_range(Path(table), user, uid):
            return (
                f"{table} gives {user} no 65536 ids",
                f"Run `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`.",
            )
    # Asked of mmdebstrap itself, to which Ubuntu's AppArmor may allow what it denies to unshare(1).
    mmdebstrap = programs.find("mmdebstrap")
    if mmdebstrap and programs.first_line([mmdebstrap, "--unshare-helper", "echo", "yes"]) != "yes":
        return (
            "this kernel gives ordinary users no user namespace",
            "Run `sudo sysctl kernel.unprivileged_userns_clone=1` (older Debian), or on Ubuntu "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or build as root.",
        )
    return None


def has_range(table: Path, user: str, uid: int) -> bool:
    """Whether a line ``name-or-number:first:count`` of subuid(5) gives the user a whole range of 65536 ids."""
    try:
        lines = [line.split(":") for line in table.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return False
    counts = [line[2].strip() for line in lines if len(line) == 3 and line[0] in (user, str(uid))]
    return any(count.isdigit() and int(count) >= 65536 for count in counts)
