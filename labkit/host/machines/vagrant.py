"""The machine that Vagrant makes, with any of its providers, by the checkout's Vagrantfile.

As with qemu, **what is done in the machine is never kept**: at the end of the first ``up`` a snapshot is taken, and
``reset``, and ``up`` after ``down``, go back to it. With libvirt the snapshot holds the memory, too, and takes seconds;
the other providers do it by ``vagrant snapshot``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from typing import Any

from labkit import log
from labkit.errors import InfrastructureError, LabkitError
from labkit.host.image import box as boxes
from labkit.host.image import kernels
from labkit.host.image.box import Box
from labkit.host.lab import config as lab
from labkit.host.lab import records
from labkit.host.lab.config import MachineConfig
from labkit.host.machines import (
    accelerator,
    consolelog,
    firstboot,
    qemucommand,
    qemurun,
    vagrantaccess,
    vagrantcommand,
    vagrantproviders,
)
from labkit.host.machines.base import Facts, Machine, check_options, fingerprint, task
from labkit.host.machines.vagrantcommand import Vagrant
from labkit.host.machines.vagranthypervisor import ByVagrant, hypervisor
from labkit.host.wire.ssh import Endpoint

RECORD = "vagrant.json"

OPTIONS = {"network": ("isolated", "open"), "insert_key": ("yes", "no")}
"""What lab.yaml's ``options:`` may hold for these providers. ``network`` is for libvirt with our own box, as with qemu;
``insert_key: no`` leaves Vagrant's well-known key in the machine."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What is kept of a machine that is complete: how to get in, and what it was made of."""

    host: str
    port: int
    host_key: str
    fingerprint: str
    box: str
    told: dict[str, Any]
    """What the Vagrantfile was told when it was made, and has to be told again."""


class VagrantMachine(Machine):
    """See base.py."""

    def __init__(self, config: MachineConfig) -> None:
        check_options(config, OPTIONS)
        super().__init__(config)
        # Not in the machine's directory: a failed start is read about when that is gone.
        self._log = vagrantcommand.directory() / f"{config.name}.log"
        # With libvirt the guest's serial console is written there.
        self._console = vagrantcommand.directory() / f"{config.name}-console.log"

    # What the tasks call.

    def _stop(self, *, gently: bool = False) -> None:
        """Its power is off: what is on its disk is not kept anyway."""
        self._disconnect()
        if self._state() != "absent":
            with log.step(f"Stopping the machine {self.name}"):
                self._hypervisor().stop()

    def _destroy(self) -> None:
        """Neither its directory is left, nor domain, disk and what Vagrant knows of it."""
        self._remove()
        shutil.rmtree(self._directory)
        for log_file in (self._log, self._console):
            log_file.unlink(missing_ok=True)
            consolelog.forget_reset(log_file)
        if self._is_last():
            self._hypervisor().forget_all()
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(vagrantcommand.directory())

    def _status(self) -> tuple[str, str, Facts]:
        """From what was recorded and what the provider says."""
        record = self._record()
        facts: Facts = {"box": record.box if record else None, "ssh_port": record.port if record else None}
        try:
            state = self._state()
        except LabkitError as error:
            return "broken", error.message, facts
        if record is None:
            return "broken", "it is being started, or its start was interrupted: `invoke up` makes it anew", facts
        if state == "absent":
            why = f"something else than labkit destroyed it: {task('up', self.name)} makes it anew"
            return "broken", why, facts
        return state if state == "running" else "stopped", "", facts

    # Starting.

    def _start(self) -> None:
        """From the snapshot if it fits, else made anew. A failure leaves no machine behind, and can be repeated."""
        record = self._record()
        self._disconnect()
        vagrantproviders.require(self.provider)
        self._hypervisor().check()
        box, wanted = self._wanted()
        if record is not None and record.fingerprint == wanted and self._state() != "absent":
            try:
                self._load(record)
                return
            except InfrastructureError as error:
                # Another program may have the port by now, or somebody deleted the snapshot.
                log.emit("snapshot-refused", machine=self.name, why=error.message)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / "provider").write_text(self.provider + "\n", encoding="utf-8")
            self._remove()
            self._make(box, wanted)
        except BaseException:
            with contextlib.suppress(LabkitError):
                self._remove()
                shutil.rmtree(self._directory)  # What Vagrant and the console said is kept elsewhere.
                if self._is_last():
                    self._hypervisor().forget_all()
            raise

    def _load(self, record: Record) -> None:
        """Back to the snapshot; then the clock, and what was edited since it was taken."""
        title = "Resetting the machine" if self._state() == "running" else "Starting from its snapshot the machine"
        with log.step(f"{title} {self.name}"):
            hypervisor = self._hypervisor(record)
            hypervisor.load()
            consolelog.mark_reset(self._console)
            if hypervisor.moves:
                record = self._let_root_in(record)
            self._connect(self._way_in(record), is_fresh=True)
        self._deploy()

    def _make(self, box: Box | None, wanted: str) -> None:
        """`vagrant up`, a way in for root, a deploy, a snapshot."""
        told = self._told(box)
        vagrant = self._vagrant(told)
        # Our own box needs nothing, and our deploy brings more than the Vagrantfile's.
        provision = ["--no-provision"] if box else ["--provision-with", "base-images,packages"]
        vagrant.do(
            f"Making the machine {self.name} with Vagrant", "up", self.name, "--provider", self.provider, *provision
        )
        name = f"{box.name} {box.version}" if box else lab.load().boxes.get(self._config.box or "debian-12", "")
        record = self._let_root_in(Record("", 0, "", wanted, name, told))
        connection = self._connect(self._way_in(record))
        if not box and connection.run("test -e /run/labkit-reboot-needed", hide=True, warn=True, in_stream=False).ok:
            self._disconnect()
            vagrant.do("Restarting it, for the control groups", "reload", self.name, "--no-provision")
            record = self._let_root_in(record)
            connection = self._connect(self._way_in(record))
        release = connection.run("uname -r", hide=True, in_stream=False).stdout.strip()
        firstboot.check(connection, self._config, release)
        self._deploy()
        with log.step("Saving the snapshot"):
            # The session must not be in the snapshot: after loading, the guest would wait for its other end for ever.
            self._disconnect()
            self._hypervisor(record).save()
        # Last of all: from now on the machine is complete.
        records.write(self._directory / RECORD, dataclasses.asdict(record))

    def _let_root_in(self, record: Record) -> Record:
        """``record`` with the way in that there is now."""
        with log.step("Asking Vagrant for the way in"):
            login = vagrantaccess.parse(self._vagrant(record.told).ask("ssh-config", self.name))
            endpoint = vagrantaccess.let_root_in(login, self._directory)
        return dataclasses.replace(record, host=endpoint.host, port=endpoint.port, host_key=endpoint.host_key)

    def _wanted(self) -> tuple[Box | None, str]:
        """Our own box (made if need be; None where a stock box is wanted), and the fingerprint of such a machine."""
        box = None
        if self.provider == "libvirt" and not self._config.box:
            box = boxes.ensure(lab.load().kernel(self._config.kernel))
        described = dataclasses.asdict(self._config) | {"box": box.version if box else self._config.box}
        return box, fingerprint(**described)

    def _told(self, box: Box | None) -> dict[str, Any]:
        """What the Vagrantfile cannot know by itself (vagrant/lab.rb)."""
        config = self._config
        entry = {name: getattr(config, name) for name in ("kernel", "cgroup", "iptables", "cpus", "options")}
        entry["memory"] = f"{config.memory_mib} MiB"
        if config.box:
            entry["box"] = config.box
        told: dict[str, Any] = {"entry": entry, "ssh_port": qemurun.free_port()}
        if self.provider == "libvirt":
            told |= {**self._hypervisor().prepare(), **self._driver(), "console": str(self._console)}
        if box:
            told["box"] = {"name": box.name, "version": box.version, "url": box.catalogue.as_uri()}
        return told

    def _driver(self) -> dict[str, str]:
        """``qemu`` or ``kvm`` for libvirt, as was proved: a /dev/kvm that opens can still hang its guests.

        The proof boots the lab's own kernel. Where that is not there (a stock box) the Vagrantfile believes /dev/kvm.
        """
        kernel = kernels.find(lab.load().kernel(self._config.kernel))
        if kernel is None:
            return {}
        return {"driver": "kvm" if accelerator.choose(qemucommand.find(), kernel) == "kvm" else "qemu"}

    # Removing.

    def _remove(self) -> None:
        """No machine of this name with the provider, and nothing that Vagrant knows of one. The directory stays."""
        self._disconnect()
        record = self._record()
        (self._directory / RECORD).unlink(missing_ok=True)
        known = vagrantcommand.directory() / "dot" / "machines" / self.name / self.provider / "id"
        if known.exists() or self._state() != "absent":
            with log.step(f"Destroying the machine {self.name}"):
                self._hypervisor(record).remove()

    def _is_last(self) -> bool:
        """Whether no other machine is Vagrant's."""
        return not any((path / "provider").exists() for path in self._directory.parent.iterdir())

    # Asking.

    def _record(self) -> Record | None:
        """None where there is no complete machine."""
        try:
            return Record(**records.read(self._directory / RECORD))
        except TypeError:
            return None

    def _state(self) -> str:
        """The provider's: ``running``, ``paused``, ``stopped`` or ``absent``."""
        return self._hypervisor().state()

    def _hypervisor(self, record: Record | None = None) -> ByVagrant:
        found = record or self._record()
        return hypervisor(self._vagrant(found.told if found else {}))

    def _vagrant(self, told: dict[str, Any]) -> Vagrant:
        return Vagrant(self.name, self.provider, self._log, told)

    def _way_in(self, record: Record) -> Endpoint:
        return Endpoint(record.host, record.port, self._directory / vagrantaccess.CLIENT_KEY, record.host_key)

    def _endpoint(self) -> Endpoint | None:
        record = self._record()
        return self._way_in(record) if record and self._state() == "running" else None
