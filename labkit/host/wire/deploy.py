"""Puts labkit into a running machine: compares manifests, sends what changed, over the one SSH connection.

An SSH command costs 0.2 s in an emulated machine and a Python start 0.5 s, so there is one command to ask what is
there, and at most one more, which receives (``receiver.py``), compiles and loads the base images. The machine needs no
network.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from dataclasses import dataclass

import fabric

from labkit import log
from labkit.errors import BuildError, InfrastructureError
from labkit.host.payload import deployed
from labkit.host.payload.deployed import Place
from labkit.host.wire.ssh import execute, last_line

LOADERS = ("lib/labkit/runtime/images/", "lib/labkit/runtime/storage/")
"""After a change below these the base images are loaded again."""

LOADED = "images-loaded"
"""Below the prefix: holds a digest of the code by which the base images were loaded last (``_loader``)."""

_ATTEMPTS = 3

LOADING_FAILED = 100
"""A status that the one command ends with: the receiver, Python and the shell do not use it."""


@dataclass(frozen=True)
class Deployed:
    """What a deploy did."""

    sent: int
    """Files that were new or changed."""
    deleted: int
    loaded: bool
    """Whether ``labkit load`` was run."""
    seconds: float

    def __str__(self) -> str:
        if not (self.sent or self.deleted):
            return f"Nothing to send ({self.seconds:.1f} s)."
        gone = f", {self.deleted} deleted" if self.deleted else ""
        return f"{self.sent} file{'' if self.sent == 1 else 's'} sent{gone} ({self.seconds:.1f} s)."


def deploy(connection: fabric.Connection, target: Place | None = None) -> Deployed:
    """Make the machine's labkit the same as this checkout's, and its base images loaded.

    BuildError where the machine's Python cannot compile a file, InfrastructureError where the machine does not answer;
    in both cases what was there works as before.
    """
    target = target or Place()
    started = time.monotonic()
    files = deployed.everything()
    for _ in range(_ATTEMPTS):
        manifest, loaded_by, archives = _ask(connection, target)
        difference = deployed.compare(files, manifest)
        load = archives if loaded_by != _loader(difference.wanted) else []
        if _apply(connection, target, difference, load):
            seconds = time.monotonic() - started
            return Deployed(len(difference.send), len(difference.delete), bool(load), seconds)
    raise InfrastructureError("Somebody else deploys to this machine all the time.", "Try again when they have ended.")


def _ask(connection: fabric.Connection, target: Place) -> tuple[bytes, str, list[str]]:
    """One command: the manifest, by which code the images were loaded, and which archives there are."""
    prefix, archives = shlex.quote(target.prefix), shlex.join(target.archives) or "/dev/null/none"
    command = (
        f"cat {prefix}/manifest.json 2>/dev/null; printf '\\0'; "
        f"cat {prefix}/{LOADED} 2>/dev/null; printf '\\0'; ls -d {archives} 2>/dev/null; true"
    )
    status, stdout, stderr = execute(connection, command)
    parts = stdout.split(b"\0")
    if status != 0 or len(parts) != 3:
        raise InfrastructureError(
            f"The machine did not say what is deployed there (status {status}): {last_line(stderr)}",
            "`invoke reset` gives back a fresh machine.",
        )
    return parts[0], parts[1].decode().strip(), parts[2].decode().splitlines()


def _apply(connection: fabric.Connection, target: Place, difference: deployed.Difference, load: list[str]) -> bool:
    """At most one command. False where something else was there than was compared with: another deploy was quicker."""
    commands, message = [], b""
    if difference:
        commands.append(f"python3 -IS -c {shlex.quote(deployed.RECEIVER.read_text(encoding='utf-8'))}")
        message = difference.message(target)
    if load:
        # `labkit load` skips what it has already; then a note by which code that was done.
        words = [f"{target.prefix}/bin/labkit", "load", "-q"]
        for archive in load:
            words += ["-i", archive]
        note = f"echo {_loader(difference.wanted)} > {shlex.quote(f'{target.prefix}/{LOADED}')}"
        commands.append(f"{{ {shlex.join(words)} </dev/null || exit {LOADING_FAILED}; {note}; }}")
    if not commands:
        return True
    with log.step("Deploying labkit" if message else "Loading the base images") as step:
        if message:
            step.note(f"{len(difference.send)} files to send, {len(difference.delete)} to delete")
        status, _, stderr = execute(connection, " && ".join(commands), message)
        if status not in (0, deployed.OVERTAKEN):
            raise _failure(status, stderr)
    return status == 0


def _failure(status: int, stderr: bytes) -> BuildError | InfrastructureError:
    """What a status other than 0 means."""
    last = last_line(stderr)
    if status == deployed.NOT_COMPILED:
        return BuildError(
            f"The machine's Python cannot compile what was to be deployed: {last}",
            "Nothing was changed there. Mend the file, then `invoke deploy`.",
        )
    if status == LOADING_FAILED:
        return InfrastructureError(
            f"labkit is deployed, but cannot load the base images: {last}",
            "`invoke ssh -c 'labkit images'` shows what is there; `invoke reset` gives back a fresh machine.",
        )
    return InfrastructureError(
        f"Deploying failed in the machine (status {status}): {last}",
        "Nothing may be left there to work with: `invoke reset` gives back a fresh machine.",
    )


def _loader(manifest: dict[str, str]) -> str:
    """A digest of the code that decides how images are kept.

    Loading takes two seconds in an emulated machine, also where there is nothing to load, and most edits are elsewhere.
    """
    code = {path: digest for path, digest in manifest.items() if path.startswith(LOADERS)}
    return hashlib.sha256(deployed.encode_manifest(code)).hexdigest()
