"""labkit on this very Linux host: what ``deploy`` puts into a machine, by the same receiver, without a connection.

It is also what a machine does that Vagrant provisions for somebody without Python, so it runs on Python 3.9 and needs
the standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from labkit.errors import BuildError, ConflictError, MissingToolError, NotFoundError, UsageError
from labkit.host.payload import payload

PYTHON = "/usr/bin/python3"
"""The launchers' (payload.LAUNCHER): what is compiled must be compiled by the interpreter that will read it."""

#: What the receiver and ``deploy`` keep beside the files of the manifest.
_OWN_FILES = ("manifest.json", ".deploy.lock", "images-loaded")


def install(prefix: str = payload.PREFIX) -> int:
    """Put this checkout's labkit below ``prefix``; how many files were new or changed.

    With the usual prefix /usr/local/bin gets links to the programs, and mount(8) its helper for aufs; with another one
    nothing outside of it is touched. BuildError where it failed: then what was there works as before.
    """
    old = _manifest(prefix)
    there = payload.read_manifest(old)
    files = payload.guest_code()
    # A machine from our own image has pyroute2 already, and maybe no Python environment that could give it.
    kept = {path: digest for path, digest in there.items() if path.startswith("lib/pyroute2")}
    if not kept:
        files.update({f"lib/{path}": contents for path, contents in payload.vendored().items()})
    wanted = {**kept, **payload.manifest(files)}
    send = {path: contents for path, contents in files.items() if there.get(path) != wanted[path]}
    delete = sorted(set(there) - set(wanted))
    if send or delete:
        outside = (payload.BIN, payload.HELPER) if prefix == payload.PREFIX else ("", "")
        base = hashlib.sha256(old).hexdigest() if old else ""
        message = payload.receiver_input(prefix, outside[0], base, send, delete, wanted, outside[1])
        python = PYTHON if Path(PYTHON).exists() else sys.executable
        done = subprocess.run([python, "-IS", str(payload.RECEIVER)], input=message, stderr=subprocess.PIPE)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise BuildError(
                f"labkit could not be installed below {prefix}: {said[-1]}.", "What was there is unchanged."
            )
    return len(send)


def remove_from(prefix: str = payload.PREFIX) -> int:
    """Take away what ``install`` has put there, and nothing else; how many files.

    Images and containers below /var/lib/labkit stay. NotFoundError where labkit is not installed there, ConflictError
    while containers run: their shims are this code.
    """
    old = _manifest(prefix)
    if not old:
        raise NotFoundError(f"labkit is not installed below {prefix}.", "`--prefix` names where it was installed.")
    running = subprocess.run([f"{prefix}/bin/labkit", "ps", "-q"], capture_output=True, text=True)
    if running.stdout.strip():
        raise ConflictError(
            f"labkit still runs containers ({len(running.stdout.split())}).", "Stop them first: labkit ps, labkit stop."
        )
    names = [*payload.read_manifest(old), *_OWN_FILES]
    for name in names:
        _remove_file(Path(prefix, name))
    for directory in sorted({parent for name in names for parent in Path(prefix, name).parents}, reverse=True):
        if directory == Path(prefix) or Path(prefix) in directory.parents:
            with contextlib.suppress(OSError):  # somebody else's file is in it
                directory.rmdir()
    for link in [*(Path(payload.BIN, Path(name).name) for name in payload.PROGRAMS), Path(payload.HELPER)]:
        if link.is_symlink() and Path(prefix) in link.readlink().parents:
            link.unlink()
    return len(names) - len(_OWN_FILES)


def is_meant(machine: str | None, prefix: str | None, *, remove: bool) -> bool:
    """Whether ``invoke deploy`` is about this host. UsageError where it is not and something only it has was asked."""
    if machine != "local" and (prefix or remove):
        raise UsageError("--prefix and --remove are for this host.", "Add `--machine local`.")
    return machine == "local"


def deploy_or_remove(prefix: str | None, *, remove: bool) -> str:
    """What ``invoke deploy --machine local`` does, and the line that it ends with."""
    _check_host()
    place = check_prefix(prefix or payload.PREFIX)
    if remove:
        return f"{remove_from(place)} files removed; images and containers below /var/lib/labkit stay."
    return install_and_say(place)


def install_and_say(place: str) -> str:
    """Install, and say what can be tried now."""
    sent = install(place)
    directory = payload.BIN if place == payload.PREFIX else f"{place}/bin"
    return f"{sent} file{'' if sent == 1 else 's'} installed below {place}. Programs: {' '.join(_programs(directory))}"


def _programs(directory: str) -> list[str]:
    return [f"{directory}/{Path(name).name}" for name in payload.PROGRAMS if name.startswith("bin/")]


def check_prefix(prefix: str) -> str:
    """An absolute path below which labkit's files can lie. UsageError for another."""
    place = Path(os.path.normpath(prefix))
    others = place.is_dir() and any(place.iterdir()) and not _manifest(str(place))
    if not Path(prefix).is_absolute() or place == Path("/") or place.is_file() or others:
        raise UsageError(
            f"--prefix {prefix}: it must be an absolute path of a directory that is labkit's, new or empty.",
            f"The usual one is {payload.PREFIX}.",
        )
    return str(place)


def _check_host() -> None:
    """MissingToolError where this computer cannot run the guest side, or we may not install it."""
    if sys.platform != "linux":
        raise MissingToolError(
            "`--machine local` is this very computer, and containers need Linux.",
            "`invoke up` starts a machine that has it.",
        )
    if os.geteuid() != 0:
        raise MissingToolError("Installing labkit on this host needs root.", "Run the same with sudo.")


def _manifest(prefix: str) -> bytes:
    try:
        return Path(prefix, "manifest.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _remove_file(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.suffix == ".py":
        cache = path.parent / "__pycache__"
        for compiled in cache.glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        with contextlib.suppress(OSError):
            cache.rmdir()
