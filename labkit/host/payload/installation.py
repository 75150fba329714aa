"""labkit on this very Linux host: what ``deploy`` puts into a machine, by the same receiver, without a connection.

Run as a program, as root (``PYTHONPATH=CODE[:PYROUTE2] python3 installation.py``; vagrant/deploy.sh does that), it
installs labkit in this very machine and loads the base images, for somebody who has no Python on the computer where
``vagrant up`` was typed. So it runs on Python 3.9, and needs the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from labkit.errors import BuildError, ConflictError, MissingToolError, NotFoundError, UsageError
from labkit.host.payload import deployed

PYTHON = "/usr/bin/python3"
"""The launchers' (deployed.LAUNCHER): what is compiled must be compiled by the interpreter that will read it."""

NEWER = "/usr/local/bin/python3"
"""The one that they hand over to where that is older than 3.9: Ubuntu 20.04."""

_PYROUTE2 = "lib/pyroute2"

#: What the receiver and ``deploy`` keep beside the files of the manifest.
_OWN_FILES = ("manifest.json", ".deploy.lock", "images-loaded")


def install(prefix: str = deployed.PREFIX) -> int:
    """Put this checkout's labkit below ``prefix``; how many files were new or changed.

    With the usual prefix /usr/local/bin gets links to the programs, and mount(8) its helper for aufs; with another one
    nothing outside of it is touched. BuildError where it failed, and whether what was there works as before.
    """
    done = False
    while not done:
        old = _manifest(prefix)
        files = deployed.runtime_code()
        # A machine from our own image has pyroute2 already, and maybe no Python environment that could give it.
        if not any(path.startswith(_PYROUTE2) for path in deployed.read_manifest(old)):
            files.update(deployed.vendored())
        difference = deployed.compare(files, old, kept=_PYROUTE2)
        done = not difference or _receive(prefix, difference, "installed")
    return len(difference.send)


def _receive(prefix: str, difference: deployed.Difference, what: str) -> bool:
    """As in a machine, by a process of its own. False where something else was there than was compared with."""
    place = deployed.Place() if prefix == deployed.PREFIX else deployed.Place(prefix, "", "")
    command = [_python(), "-IS", str(deployed.RECEIVER)]
    done = subprocess.run(command, input=difference.message(place), stderr=subprocess.PIPE)
    if done.returncode not in (0, deployed.OVERTAKEN):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        unchanged = done.returncode in (deployed.NOT_COMPILED, deployed.NOT_COMPLETE)
        hint = "What was there is unchanged." if unchanged else "What is there may be half of each: do it once more."
        raise BuildError(f"labkit could not be {what} below {prefix}: {said[-1]}.", hint)
    return done.returncode == 0


def _python() -> str:
    """The interpreter that the launchers end up with."""
    is_new = "import sys; sys.exit(sys.version_info < (3, 9))"
    for python in (PYTHON, NEWER):
        if Path(python).exists() and subprocess.run([python, "-IS", "-c", is_new]).returncode == 0:
            return python
    return sys.executable


def remove_from(prefix: str = deployed.PREFIX) -> int:
    """Take away what ``install`` has put there, and nothing else; how many files.

    Images and containers below /var/lib/labkit stay. NotFoundError where labkit is not installed there, ConflictError
    while containers run: their shims are this code.
    """
    old = _manifest(prefix)
    if not old:
        raise NotFoundError(f"labkit is not installed below {prefix}.", "`--prefix` names where it was installed.")
    with contextlib.suppress(FileNotFoundError):  # somebody deleted the program by hand
        running = subprocess.run([f"{prefix}/bin/labkit", "ps", "-q"], capture_output=True).stdout.split()
        if running:
            raise ConflictError(
                f"labkit still runs containers ({len(running)}).", "Stop them first: labkit ps, labkit stop."
            )
    difference = deployed.compare({}, old)
    _receive(prefix, difference, "removed")
    for name in _OWN_FILES:
        Path(prefix, name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's file is in it
        Path(prefix).rmdir()
    for link in [*(Path(deployed.BIN, Path(name).name) for name in deployed.PROGRAMS), Path(deployed.HELPER)]:
        if link.is_symlink() and Path(prefix) in link.readlink().parents:
            link.unlink()
    return len(difference.delete)


def is_meant(machine: str | None, prefix: str | None, *, remove: bool) -> bool:
    """Whether ``invoke deploy`` is about this host. UsageError where it is not and something only it has was asked."""
    if machine != "local" and (prefix or remove):
        raise UsageError("--prefix and --remove are for this host.", "Add `--machine local`.")
    return machine == "local"


def deploy_or_remove(prefix: str | None, *, remove: bool) -> str:
    """What ``invoke deploy --machine local`` does, and the line that it ends with.

    MissingToolError where this computer cannot run the guest side, or we may not install it.
    """
    if sys.platform != "linux":
        raise MissingToolError(
            "`--machine local` is this very computer, and containers need Linux.",
            "`invoke up` starts a machine that has it.",
        )
    if os.geteuid() != 0:
        raise MissingToolError("Installing labkit on this host needs root.", "Run the same with sudo.")
    place = check_prefix(prefix or deployed.PREFIX)
    if remove:
        return f"{remove_from(place)} files removed; images and containers below /var/lib/labkit stay."
    sent = install(place)
    directory = deployed.BIN if place == deployed.PREFIX else f"{place}/bin"
    programs = " ".join(f"{directory}/{Path(name).name}" for name in deployed.PROGRAMS if name.startswith("bin/"))
    return f"{sent} file{'' if sent == 1 else 's'} installed below {place}. Programs: {programs}"


def check_prefix(prefix: str) -> str:
    """An absolute path below which labkit's files can lie. UsageError for another."""
    place = Path(os.path.normpath(prefix))
    others = place.is_dir() and any(place.iterdir()) and not _manifest(str(place))
    if not Path(prefix).is_absolute() or place == Path("/") or place.is_file() or others:
        raise UsageError(
            f"--prefix {prefix}: it must be an absolute path of a directory that is labkit's, new or empty.",
            f"The usual one is {deployed.PREFIX}.",
        )
    return str(place)


def _manifest(prefix: str) -> bytes:
    try:
        return Path(prefix, "manifest.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def main() -> None:
    """In a machine that Vagrant provisions: install what is missing or different, then load the base images."""
    sent = install()
    load = [f"{deployed.PREFIX}/bin/labkit", "load", "-q"]
    for archive in sorted(Path(deployed.IMAGES).glob("*.tar")):
        load += ["-i", str(archive)]
    subprocess.run(load, check=True, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
    print(f"labkit: deployed ({sent} files), base images loaded. Try: sudo labkit run --rm busybox echo it works")


if __name__ == "__main__":
    main()
