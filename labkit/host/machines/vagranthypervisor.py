"""What is asked of the provider itself, below Vagrant or through it: state, stop, snapshots, removal."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from labkit.errors import InfrastructureError
from labkit.host.lab import paths, programs
from labkit.host.machines import vagrantcommand, vagrantproviders
from labkit.host.machines.vagrantcommand import Vagrant

SNAPSHOT = "labkit"

_STATES = {"running": "running", "not_created": "absent", "paused": "paused", "saved": "paused", "suspended": "paused"}
"""What Vagrant and virsh call it -> what we call it. All others are ``stopped``: ``poweroff``, ``shut off`` …"""

URI = "qemu:///session"

_SECONDS = 180.0
"""For one command of virsh. The first one of all asks QEMU for everything that it can do: 5 s, 15 when busy."""


class ByVagrant:
    """One machine of any provider, by Vagrant's own commands. Each of them takes some seconds."""

    moves = True
    """Whether the way in may be another after ``load``."""

    def __init__(self, vagrant: Vagrant) -> None:
        self._vagrant = vagrant
        self._known = vagrantcommand.directory() / "dot" / "machines" / vagrant.machine
        """What Vagrant knows of the machine."""

    def state(self) -> str:
        """``running``, ``paused``, ``stopped`` or ``absent``."""
        if not (self._known / self._vagrant.provider / "id").exists():
            return "absent"
        output = self._vagrant.ask("status", self._vagrant.machine, "--machine-readable")
        # time,machine,state,running
        states = [line.split(",")[3] for line in output.splitlines() if line.split(",")[2:3] == ["state"]]
        return _STATES.get(states[0], "stopped") if states else "absent"

    def check(self) -> None:
        """Raise where the provider does not work at all, before anything is begun. (Vagrant does that.)"""

    def prepare(self) -> dict[str, Any]:
        """Make what has to be there before ``vagrant up``; what the Vagrantfile is told of it."""
        return {}

    def stop(self) -> None:
        """Take its power away: nothing on its disk is kept anyway."""
        self._vagrant.do("Stopping it with Vagrant", "halt", self._vagrant.machine, "--force")

    def save(self) -> None:
        """Take the snapshot, which replaces an older one: whatever the provider's snapshots hold."""
        self._vagrant.do("Saving it with Vagrant", "snapshot", "save", self._vagrant.machine, SNAPSHOT, "--force")

    def load(self) -> None:
        """Go back to it, running. It boots, where the provider keeps no memory."""
        words = ("snapshot", "restore", self._vagrant.machine, SNAPSHOT, "--no-provision")
        self._vagrant.do("Going back with Vagrant", *words)

    def remove(self) -> None:
        """The machine and its disk are gone."""
        self._vagrant.do("Destroying it with Vagrant", "destroy", self._vagrant.machine, "--force")

    def forget_all(self) -> None:
        """The last machine is gone: remove what they shared."""


class Libvirt(ByVagrant):
    """libvirt asked directly: that is a hundred times quicker, and its snapshots hold the memory.

    Without root, in its *session* mode, in which this user's own daemon starts QEMU as this user. The daemon starts by
    itself at the first question, and ends by itself two minutes after the last machine.
    """

    moves = False

    def __init__(self, vagrant: Vagrant) -> None:
        super().__init__(vagrant)
        # Tells the machines of this state directory from those of another, in names that all of a user's share.
        lab = hashlib.sha256(str(paths.state_dir()).encode()).hexdigest()[:8]
        self._pool = f"labkit-{lab}"
        """A place for disks, by libvirt's name for it."""
        self.domain = f"{self._pool}-{vagrant.machine}"
        """What libvirt calls the machine."""

    def state(self) -> str:
        """20 ms, where Vagrant needs two seconds."""
        result = _run("domstate", self.domain)
        if "failed to get domain" in result.stderr:
            return "absent"
        return _STATES.get(_output(result).strip(), "stopped")

    def check(self) -> None:
        """InfrastructureError where the session's daemon does not start, MissingToolError without virsh."""
        _virsh("uri")

    def prepare(self) -> dict[str, Any]:
        """The pool, below our state directory. A daemon that is new has it stopped."""
        directory = vagrantcommand.directory() / "pool"
        directory.mkdir(parents=True, exist_ok=True)
        if not self._has_pool("--all"):
            _virsh("pool-define-as", self._pool, "dir", "--target", str(directory))
            _virsh("pool-autostart", self._pool)
        if not self._has_pool():
            _virsh("pool-start", self._pool)
        _virsh("pool-refresh", self._pool)
        return {"prefix": f"{self._pool}-", "pool": self._pool}

    def stop(self) -> None:
        """At once."""
        if self.state() in ("running", "paused"):
            _virsh("destroy", self.domain)

    def save(self) -> None:
        """Memory and disks of the running machine, in its disk's file."""
        if SNAPSHOT in _virsh("snapshot-list", "--name", self.domain).split():
            _virsh("snapshot-delete", self.domain, SNAPSHOT)
        _virsh("snapshot-create-as", self.domain, SNAPSHOT)

    def load(self) -> None:
        """In one or two seconds, whatever it did before."""
        _virsh("snapshot-revert", "--force", self.domain, SNAPSHOT)

    def remove(self) -> None:
        """Not by `vagrant destroy`: that needs the box, the port and all else to be as they were."""
        if self.state() != "absent":
            self.stop()
            _virsh("undefine", self.domain, "--snapshots-metadata", "--managed-save", "--nvram")
        self._remove_volumes(f"{self.domain}.img", f"{self.domain}_")
        if self._known.is_dir():
            shutil.rmtree(self._known)

    def forget_all(self) -> None:
        """The pool, and the copy of the box in it."""
        if self._has_pool("--all"):
            self._remove_volumes("")
            if self._has_pool():
                _virsh("pool-destroy", self._pool)
            _virsh("pool-undefine", self._pool)

    def _has_pool(self, *which: str) -> bool:
        """Whether it is active, or with ``--all`` known."""
        return self._pool in _virsh("pool-list", *which, "--name").split()

    def _remove_volumes(self, *beginnings: str) -> None:
        """Delete what in the pool has a name that begins so."""
        if self._has_pool():
            for line in _virsh("vol-list", self._pool).splitlines():
                name = line.split()[0] if line.split() else ""
                if name.startswith(beginnings) and name.endswith(".img"):
                    _virsh("vol-delete", name, "--pool", self._pool)


def hypervisor(vagrant: Vagrant) -> ByVagrant:
    """The one that Vagrant's provider stands for."""
    return Libvirt(vagrant) if vagrant.provider == "libvirt" else ByVagrant(vagrant)


def _virsh(*words: str) -> str:
    """What virsh prints. InfrastructureError with its own words where it fails."""
    return _output(_run(*words))


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    path = programs.find("virsh")
    if path is None:
        raise vagrantproviders.unusable("libvirt", "virsh is not installed")
    command = [path, "--quiet", "--connect", URI, *words]
    environment = {**os.environ, "LC_ALL": "C"}  # its sentences are read
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        reason = f"libvirt's session did not answer within {_SECONDS:.0f} s."
        raise InfrastructureError(reason, session_hint()) from None


def _output(result: subprocess.CompletedProcess[str]) -> str:
    """InfrastructureError for one that failed."""
    if result.returncode == 0:
        return result.stdout
    said = [line.removeprefix("error: ") for line in result.stderr.splitlines() if line.strip()]
    if any("failed to connect to the hypervisor" in line for line in said):
        raise InfrastructureError(f"libvirt's session does not start: {said[-1]}", session_hint())
    words = "; ".join(said) or f"{result.args[4]} failed."
    raise InfrastructureError(f"libvirt: {words}", "`invoke destroy up` makes it anew.")


def session_hint() -> str:
    """What most often keeps it from starting: the runtime directory of another user's login, as after `su`."""
    place = os.environ.get("XDG_RUNTIME_DIR")
    if place and not (os.access(place, os.W_OK) and Path(place).is_dir()):
        return (
            f"XDG_RUNTIME_DIR names {place}, where this user cannot write: log in as this user, or "
            "`unset XDG_RUNTIME_DIR`. The provider qemu needs no libvirt."
        )
    return f"`virsh --connect {URI} uri` shows more. The provider qemu needs no libvirt."
