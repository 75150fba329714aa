"""libvirt without root: its *session* mode, in which this user's own daemon starts QEMU as this user.

The daemon starts by itself at the first question, and ends by itself two minutes after the last machine. Its tool virsh
answers in 20 ms where Vagrant needs two seconds, so state and snapshots are asked of it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from labkit.errors import InfrastructureError
from labkit.host.lab.finding import program
from labkit.host.machines import providers

URI = "qemu:///session"

SNAPSHOT = "labkit"

_SECONDS = 180.0
"""For one command. The first one of all asks QEMU for everything that it can do: 5 s, three times that when busy."""

_STATES = {"running": "running", "shut off": "stopped", "paused": "paused", "crashed": "stopped"}


def check() -> None:
    """InfrastructureError where the session's daemon does not start, MissingToolError without virsh."""
    _virsh("uri")


def state(domain: str) -> str:
    """``running``, ``paused`` or ``stopped``; ``absent`` where libvirt knows no such machine."""
    result = _run("domstate", domain)
    if result.returncode != 0:
        if "failed to get domain" in result.stderr:
            return "absent"
        raise _failure("domstate", result.stderr)
    return _STATES.get(result.stdout.strip(), "stopped")


def stop(domain: str) -> None:
    """Take its power away: nothing on its disk is kept anyway."""
    if state(domain) in ("running", "paused"):
        _virsh("destroy", domain)


def save(domain: str) -> None:
    """Keep memory and disks of the running machine, in its disk's file. An older snapshot is gone then."""
    if SNAPSHOT in _virsh("snapshot-list", "--name", domain).split():
        _virsh("snapshot-delete", domain, SNAPSHOT)
    _virsh("snapshot-create-as", domain, SNAPSHOT)


def load(domain: str) -> None:
    """Memory and disks as they were; the machine runs, whatever it did before."""
    _virsh("snapshot-revert", "--force", domain, SNAPSHOT)


def remove(domain: str) -> None:
    """Nothing of it is left but its volumes, which are its pool's business."""
    if state(domain) == "absent":
        return
    stop(domain)
    _virsh("undefine", domain, "--snapshots-metadata", "--managed-save", "--nvram")


def make_pool(pool: str, directory: Path) -> None:
    """A place for disks that libvirt knows by the name ``pool``. Made once; a daemon that is new has it stopped."""
    directory.mkdir(parents=True, exist_ok=True)
    if pool not in _virsh("pool-list", "--all", "--name").split():
        _virsh("pool-define-as", pool, "dir", "--target", str(directory))
        _virsh("pool-autostart", pool)
    if pool not in _virsh("pool-list", "--name").split():
        _virsh("pool-start", pool)
    _virsh("pool-refresh", pool)


def remove_volumes(pool: str, beginning: str = "") -> None:
    """Delete what in the pool has a name that begins so."""
    if pool in _virsh("pool-list", "--name").split():
        for line in _virsh("vol-list", pool).splitlines():
            name = line.split()[0] if line.split() else ""
            if name.startswith(beginning) and name.endswith(".img"):
                _virsh("vol-delete", name, "--pool", pool)


def remove_pool(pool: str) -> None:
    """libvirt forgets it, with all its volumes."""
    if pool in _virsh("pool-list", "--all", "--name").split():
        remove_volumes(pool)
        if pool in _virsh("pool-list", "--name").split():
            _virsh("pool-destroy", pool)
        _virsh("pool-undefine", pool)


def _virsh(*words: str) -> str:
    """What virsh prints. InfrastructureError with its own words where it fails."""
    result = _run(*words)
    if result.returncode != 0:
        raise _failure(words[0], result.stderr)
    return result.stdout


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    path = program("virsh")
    if path is None:
        raise providers.unusable("libvirt", "virsh is not installed")
    command = [path, "--quiet", "--connect", URI, *words]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},  # its sentences are read
        )
    except subprocess.TimeoutExpired:
        raise InfrastructureError(
            f"libvirt's session did not answer within {_SECONDS:.0f} s.", session_hint()
        ) from None


def _failure(verb: str, errors: str) -> InfrastructureError:
    said = [line.removeprefix("error: ") for line in errors.splitlines() if line.strip()]
    if any("failed to connect to the hypervisor" in line for line in said):
        return InfrastructureError(f"libvirt's session does not start: {said[-1]}", session_hint())
    return InfrastructureError(f"libvirt: {'; '.join(said) or f'{verb} failed.'}", "`invoke destroy up` makes it anew.")


def session_hint() -> str:
    """What most often keeps it from starting: the runtime directory of another user's login, as after `su`."""
    place = os.environ.get("XDG_RUNTIME_DIR")
    if place and not (os.access(place, os.W_OK) and Path(place).is_dir()):
        return (
            f"XDG_RUNTIME_DIR names {place}, where this user cannot write: log in as this user, or "
            "`unset XDG_RUNTIME_DIR`. The provider qemu needs no libvirt."
        )
    return f"`virsh --connect {URI} uri` shows more. The provider qemu needs no libvirt."
