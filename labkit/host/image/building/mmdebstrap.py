"""Running mmdebstrap: what it needs, a directory to work in, its progress, an interruption, its failures.

It takes packages from what a setting names, from the host's own apt sources, or from its default. None is named here.

Nothing that is built needs root's rights or loop devices: mmdebstrap makes a root filesystem in a directory, as root or
in a user namespace of an ordinary user, ``mke2fs -d`` makes a disk of a directory, and special hooks bring the results
out of that namespace.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from labkit import log
from labkit.errors import BuildError, MissingToolError, UsageError
from labkit.host.image.building import inputs
from labkit.host.lab import programs

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "depmod": "kmod",
}
"""Program -> Debian's package."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""From the package debian-archive-keyring, which other distributions have, too, and under the same path."""

# Proxies, and what a snapshot or a cache of the archive needs. Everything else of a host's apt is its own business.
_APT_SETTINGS = re.compile(
    r"Acquire::(https?::(Proxy|Timeout|CAInfo|Verify-Peer)\S*|Check-(Valid-Until|Date)|Retries|ForceIPv[46]) "
)

SPACE_NEEDED = 2_500_000_000
"""Bytes in the temporary directory at the height of a build: root filesystem, disk, compressed disk."""

_SCRATCH_PREFIX = "labkit-build-"

Phases = Sequence[tuple[str, str]]
"""(how the line begins that starts a phase, as a regular expression; what to call the phase), in their order."""


def command(variant: str, suite: str, *options: str) -> list[str]:
    """The command line: into a directory that is thrown away, with this computer's way to the archive.

    ``variant`` is mmdebstrap's: ``essential``, or ``custom`` for nothing but apt's configuration.
    """
    return [
        "mmdebstrap",
        "--verbose",
        f"--mode={'root' if _user_id() == 0 else 'unshare'}",
        f"--architectures={inputs.ARCHITECTURE}",
        f"--variant={variant}",
        "--format=null",
        "--skip=cleanup",  # all of it is deleted, and the guest's own clean-up comes before its disk is made
        f"--keyring={KEYRING}",
        *[f"--aptopt={setting}" for setting in apt_settings()],
        '--aptopt=Acquire::Languages "none"',
        *options,
        suite,
        "-",
        *sources(suite),
    ]


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


def download(source: str, target: Path) -> str:
    """A hook that brings a file of the new root out. (Special hooks are split as a shell would.)"""
    return f"--customize-hook=download {source} {shlex.quote(str(target))}"


def run(command_line: Sequence[str], settings: dict[str, str], log_file: Path, title: str, phases: Phases) -> None:
    """Run mmdebstrap with ``settings`` in its environment, its output in ``log_file`` and its phases as notes.

    BuildError with the last lines of the log; KeyboardInterrupt when mmdebstrap was ended first and has cleaned up.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory() as scratch, log.step(title) as step, open(log_file, "wb") as logged:
        environment = {**os.environ, **settings, "TMPDIR": str(scratch), "PATH": programs.search_path()}
        status = programs.follow(command_line, logged, step, noting(phases), group=True, env=environment)
        if status != 0:
            raise _failure(log_file, title)


def check_tools() -> None:
    """MissingToolError where nothing can be built on this computer."""
    if not sys.platform.startswith("linux"):
        raise MissingToolError(
            "The guest image can only be built on Linux, and there is none in the cache.",
            "Run `invoke up` on a Linux computer (or in WSL) and copy its cache here; `invoke doctor` names both.",
        )
    needed = TOOLS if _user_id() == 0 else {**TOOLS, "newuidmap": "uidmap"}
    missing = [package for program, package in needed.items() if programs.find(program) is None]
    if missing:
        raise MissingToolError(
            f"The guest image cannot be built without {', '.join(missing)}.",
            f"Run `python3 bootstrap.py`, or install them: `sudo apt-get install {' '.join(missing)}`.",
        )
    if not KEYRING.exists():
        raise MissingToolError(
            "The keys that sign Debian's packages are not on this computer.",
            "Install the package debian-archive-keyring (or run `python3 bootstrap.py`, which does).",
        )
    machine = os.uname().machine
    if machine != "x86_64":
        raise MissingToolError(
            f"The guest image is for x86-64 and cannot be built on {machine}.",
            "Build it on another computer and copy its cache to this one; `invoke doctor` names both.",
        )


def _user_id() -> int:
    """0 is root. (Nothing is built on Windows, which has no such numbers, but the module is checked there.)"""
    if sys.platform == "win32":
        return -1
    return os.getuid()


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for mmdebstrap, with room; deleted at the end, and so is one that a killed build left.

    mmdebstrap's namespace must be able to write to it and to search all directories above, so it cannot be in a home
    directory. Files in it belong to the namespace's users, whom only another such namespace can delete.
    """
    free = free_scratch()
    base = next((path for path in free if free[path] >= SPACE_NEEDED), None)
    if base is None:
        where = ", ".join(f"{path} has {size / 1e9:.1f} GB" for path, size in free.items()) or "there is none"
        raise BuildError(
            f"A build takes {SPACE_NEEDED / 1e9:.1f} GB in a temporary directory ({where}).",
            "Free some space, or name a directory on another disk in TMPDIR.",
        )
    for candidate in free:
        _delete_left_behind(candidate)
    scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{_user_id()}-{os.getpid()}-", dir=base))
    scratch.chmod(0o1777)
    try:
        yield scratch
    finally:
        _delete(scratch)


def free_scratch() -> dict[Path, int]:
    """Where a build could work -> free bytes. /var/tmp goes before /tmp, which is in memory on many systems."""
    places = (os.environ.get("TMPDIR"), "/var/tmp", tempfile.gettempdir())  # noqa: S108 - a new directory is made in it
    candidates = [Path(place) for place in places if place]
    return {path: shutil.disk_usage(path).free for path in candidates if path.is_dir() and os.access(path, os.W_OK)}


def _delete_left_behind(base: Path) -> None:
    """Scratch directories of this user's builds whose process is gone."""
    for path in base.glob(f"{_SCRATCH_PREFIX}{_user_id()}-*"):
        pid = path.name.removeprefix(_SCRATCH_PREFIX).split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _delete(path)


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if path.exists() and _user_id() != 0:
        subprocess.run(["mmdebstrap", "--unshare-helper", "rm", "-rf", str(path)], check=False, capture_output=True)
        shutil.rmtree(path, ignore_errors=True)


def noting(phases: Phases) -> Callable[[str], str | None]:
    """A line of mmdebstrap, apt or dpkg -> a note, of which there shall be few: one per phase, never back."""
    left = list(phases)

    def note(line: str) -> str | None:
        for number, (pattern, text) in enumerate(left):
            if re.match(pattern, line):
                del left[: number + 1]
                return text
        return None

    return note


def _failure(log_file: Path, title: str) -> BuildError:
    """The error that shows what mmdebstrap, or a program that it started, said last."""
    lines = log_file.read_text(errors="replace").splitlines()
    whole = f"The whole log: {log_file}"
    if any("No space left on device" in line for line in lines):
        return BuildError(
            f"{title} failed: there was no space left (it takes {SPACE_NEEDED / 1e9:.1f} GB).",
            f"Free some space, or name a directory on another disk in TMPDIR. {whole}",
        )
    # mmdebstrap repeats whole scripts when one fails; what matters are the lines in which somebody complains.
    complaints = [
        line for line in lines if re.match(r"E: |Err:|W: |[a-z0-9-]+: (error|cannot)|mke2fs: |qemu-img: ", line)
    ]
    summary = next((line[3:] for line in complaints if line.startswith("E: ")), "mmdebstrap failed.")
    last = "\n".join((complaints or lines)[-8:])
    return BuildError(f"{title} failed: {summary}", f"{whole}\nIts complaints end with\n{last}")
