"""What is asked of the provider itself, below Vagrant or through it: state, stop, snapshots, removal."""

from __future__ import annotations

import hashlib
import shutil
from typing import Any, Protocol

from labkit.host.lab import paths
from labkit.host.machines import libvirtsession, vagrantcommand
from labkit.host.machines.vagrantcommand import Vagrant

SNAPSHOT = "labkit"

_STATES = {"running": "running", "not_created": "absent", "paused": "paused", "saved": "paused", "suspended": "paused"}
"""What ``vagrant status`` calls it -> what we call it. All others are ``stopped``: ``poweroff``, ``off`` …"""


class Hypervisor(Protocol):
    """One machine of one provider."""

    moves: bool
    """Whether the way in may be another after ``load``."""

    def state(self) -> str:
        """``running``, ``paused``, ``stopped`` or ``absent``."""

    def check(self) -> None:
        """Raise where the provider does not work at all, before anything is begun."""

    def prepare(self) -> dict[str, Any]:
        """Make what has to be there before ``vagrant up``; what the Vagrantfile is told of it."""

    def stop(self) -> None:
        """Take its power away."""

    def save(self) -> None:
        """Take the snapshot."""

    def load(self) -> None:
        """Go back to it, running."""

    def remove(self) -> None:
        """The machine and its disk are gone."""

    def forget_all(self) -> None:
        """The last machine is gone: remove what they shared."""


def hypervisor(vagrant: Vagrant) -> Hypervisor:
    """The one that Vagrant's provider stands for."""
    return Libvirt(vagrant) if vagrant.provider == "libvirt" else ByVagrant(vagrant)


def lab_id() -> str:
    """Tells the machines of this state directory from those of another, in names that all of a user's share."""
    return hashlib.sha256(str(paths.state_dir()).encode()).hexdigest()[:8]


class Libvirt:
    """libvirt's session, asked directly: that is a hundred times quicker, and its snapshots hold the memory."""

    moves = False

    def __init__(self, vagrant: Vagrant) -> None:
        self._vagrant = vagrant
        self._prefix = f"labkit-{lab_id()}-"
        self._pool = f"labkit-{lab_id()}"

    @property
    def domain(self) -> str:
        """What libvirt calls the machine."""
        return f"{self._prefix}{self._vagrant.machine}"

    def state(self) -> str:
        """Asked of virsh."""
        return libvirtsession.state(self.domain)

    def check(self) -> None:
        """The session's daemon is started by this."""
        libvirtsession.check()

    def prepare(self) -> dict[str, Any]:
        """The pool for disks, below our state directory."""
        libvirtsession.make_pool(self._pool, vagrantcommand.directory() / "pool")
        return {"prefix": self._prefix, "pool": self._pool}

    def stop(self) -> None:
        """At once."""
        libvirtsession.stop(self.domain)

    def save(self) -> None:
        """Memory and disks."""
        libvirtsession.save(self.domain)

    def load(self) -> None:
        """In one or two seconds."""
        libvirtsession.load(self.domain)

    def remove(self) -> None:
        """Not by `vagrant destroy`: that needs the box, the port and all else to be as they were."""
        libvirtsession.remove(self.domain)
        libvirtsession.remove_volumes(self._pool, f"{self.domain}.img")
        libvirtsession.remove_volumes(self._pool, f"{self.domain}_")
        known = vagrantcommand.directory() / "dot" / "machines" / self._vagrant.machine
        if known.is_dir():
            shutil.rmtree(known)

    def forget_all(self) -> None:
        """The pool, and the copy of the box in it."""
        libvirtsession.remove_pool(self._pool)


class ByVagrant:
    """Any provider, by Vagrant's own commands. Each of them takes some seconds."""

    moves = True

    def __init__(self, vagrant: Vagrant) -> None:
        self._vagrant = vagrant

    def state(self) -> str:
        """Asked of Vagrant, where it knows of a machine at all."""
        known = vagrantcommand.directory() / "dot" / "machines" / self._vagrant.machine / self._vagrant.provider / "id"
        if not known.exists():
            return "absent"
        output = self._vagrant.ask("status", self._vagrant.machine, "--machine-readable")
        # time,machine,state,running
        states = [line.split(",")[3] for line in output.splitlines() if line.split(",")[2:3] == ["state"]]
        return _STATES.get(states[0], "stopped") if states else "absent"

    def check(self) -> None:
        """Vagrant does that."""

    def prepare(self) -> dict[str, Any]:
        """Nothing: the provider has its own places."""
        return {}

    def stop(self) -> None:
        """At once."""
        self._vagrant.do("Stopping it with Vagrant", "halt", self._vagrant.machine, "--force")

    def save(self) -> None:
        """Whatever the provider's snapshots hold."""
        self._vagrant.do("Saving it with Vagrant", "snapshot", "save", self._vagrant.machine, SNAPSHOT, "--force")

    def load(self) -> None:
        """It boots, where the provider keeps no memory."""
        words = ("snapshot", "restore", self._vagrant.machine, SNAPSHOT, "--no-provision")
        self._vagrant.do("Going back with Vagrant", *words)

    def remove(self) -> None:
        """By Vagrant."""
        self._vagrant.do("Destroying it with Vagrant", "destroy", self._vagrant.machine, "--force")

    def forget_all(self) -> None:
        """Nothing is shared."""
