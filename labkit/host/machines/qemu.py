"""The machine that QEMU runs: no root, no daemon, nothing that listens beyond the loopback interface.

A machine's directory holds its disk, an overlay on the guest image that also keeps the snapshot (memory and disk at the
end of the first ``up``). **What is done in the machine after that is never kept**: ``down`` ends QEMU, and the
next ``up`` loads the snapshot, as ``reset`` does. That makes both quick, and a machine impossible to spoil.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass

from labkit import log
from labkit.errors import InfrastructureError
from labkit.host.image import guestimage, kernels
from labkit.host.image.guestimage import GuestImage
from labkit.host.image.kernels import Kernel
from labkit.host.lab import config as lab
from labkit.host.lab import paths, programs, records
from labkit.host.lab.config import MachineConfig
from labkit.host.machines import accelerator, consolelog, firstboot, qemucommand, qemurun, qmp
from labkit.host.machines.base import BOOT_LIMIT, Facts, Machine, check_options, fingerprint, task
from labkit.host.machines.qemucommand import CONSOLE, DISK, OUTPUT, Qemu
from labkit.host.machines.qemurun import Run
from labkit.host.wire import ssh
from labkit.host.wire.ssh import Endpoint

SNAPSHOT, SNAPSHOT_RECORD = "labkit", "snapshot.json"

START_ATTEMPTS = 3
"""Another process may take the port that we found free."""
SPACE_NEEDED = 600_000_000
"""Bytes for a machine's disk with its snapshot, beside the image."""


class QemuMachine(Machine):
    """See base.py."""

    def __init__(self, config: MachineConfig) -> None:
        check_options(config, qemucommand.OPTIONS)
        super().__init__(config)
        self._console = self._directory / CONSOLE

    # What the tasks call.

    def _destroy(self) -> None:
        """Its directory is gone: disk, snapshot, logs. The guest image stays for the next ``up``."""
        self._stop()
        shutil.rmtree(self._directory)

    def _reset(self) -> None:
        """The snapshot loaded into the running QEMU (also when the guest hangs); a machine that is down is started."""
        run = self._live_run()
        if run is None:
            self._start()
            return
        self._disconnect()
        wanted = self._wanted()
        try:
            if run.fingerprint != wanted.fingerprint:
                raise InfrastructureError("lab.yaml or the guest image is another since it was started.")
            with log.step(f"Resetting the machine {self.name}"):
                qmp.load_snapshot(run.monitor_address, SNAPSHOT)
                consolelog.mark_reset(self._console)
                self._make_current(run)
        except InfrastructureError as error:
            log.emit("reset-by-restart", machine=self.name, why=error.message)
            self._stop()
            self._start()

    def _status(self) -> tuple[str, str, Facts]:
        """From the files and the process."""
        run = qemurun.read(self._directory)
        facts: Facts = {
            "pid": None,
            "snapshot": "yes" if self._snapshot_fingerprint() else "no",
            "disk_bytes": paths.disk_bytes(self._directory),
        }
        if run is None:
            return "stopped", "", facts
        if not run.is_alive():
            why = "QEMU ended by itself: it was killed, or powered off from inside; `invoke up` starts it again"
            return "stopped", why, facts
        facts |= {
            "pid": run.pid,
            "ssh_port": run.ssh_port,
            "accelerator": run.accelerator,
            "kernel": run.kernel_release,
            "image": run.image_key,
        }
        if not run.ready:
            return "broken", "it is being started, or its start was killed", facts
        return "running", "", facts

    # Starting.

    def _start(self) -> None:
        """From the snapshot if it fits, else by a boot. A failure leaves no process, and ``up`` can be repeated."""
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            self._stop()
            wanted = self._wanted()
            if self._snapshot_fingerprint() == wanted.fingerprint and (self._directory / DISK).exists():
                try:
                    with log.step(f"Starting the machine {self.name} from its snapshot"):
                        run = self._launch(wanted, ["-loadvm", SNAPSHOT])
                        self._make_current(run)
                        run.mark_ready(self._directory)
                    return
                except InfrastructureError as error:
                    # It can be refused although all that we know is the same: a host's microcode, a damaged file.
                    log.emit("snapshot-refused", machine=self.name, why=error.message)
                    self._stop()
            self._boot(wanted)
        except BaseException:
            self._stop()
            raise

    def _boot(self, wanted: _Wanted) -> None:
        """A fresh disk, a boot, a deploy, a snapshot."""
        self._make_disk(wanted)
        with log.step(f"Booting the machine {self.name}") as step:
            step.note(f"accelerator {wanted.accelerator}, kernel {wanted.kernel.release}")
            run = self._launch(wanted, [])
            self._wait_for_ssh(run)
            firstboot.check(self._connect(run.endpoint, is_fresh=True), self._config, wanted.kernel.release)
        self._deploy()
        firstboot.warm_up(self.connection())
        with log.step("Saving the snapshot"):
            # The session must not be in the snapshot: after loading, the guest would wait for its other end for ever.
            self._disconnect()
            qmp.save_snapshot(run.monitor_address, SNAPSHOT)
            records.write(self._directory / SNAPSHOT_RECORD, {"fingerprint": wanted.fingerprint, "made": time.time()})
        run.mark_ready(self._directory)

    def _make_disk(self, wanted: _Wanted) -> None:
        """An overlay on the image, empty. An older one, and what was saved in it, is gone."""
        paths.check_space("A machine", SPACE_NEEDED, self._directory, "LABKIT_STATE", InfrastructureError)
        (self._directory / SNAPSHOT_RECORD).unlink(missing_ok=True)
        (self._directory / DISK).unlink(missing_ok=True)
        command = [wanted.qemu.image_program, "create", "-q", "-f", "qcow2", "-F", "qcow2"]
        command += ["-b", str(wanted.image.disk), DISK]
        made = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise InfrastructureError(f"qemu-img cannot make the machine's disk: {made.stderr.strip()}")

    def _launch(self, wanted: _Wanted, more: list[str]) -> Run:
        """Start QEMU on a free port; another one where somebody was quicker."""
        for attempt in range(1, START_ATTEMPTS + 1):
            port = qemurun.free_port()
            unstarted = Run(
                ssh_port=port,
                monitor=qemurun.monitor_place(self._directory),
                fingerprint=wanted.fingerprint,
                accelerator=wanted.accelerator,
                kernel_release=wanted.kernel.release,
                image_key=wanted.image.key_hash,
                client_key=str(wanted.image.client_key),
                host_key=wanted.image.host_key,
            )
            network = qemucommand.user_network(self._config, port)
            try:
                return qemurun.start(
                    [wanted.qemu.program, *network, *wanted.hardware, *more], self._directory, unstarted
                )
            except InfrastructureError as error:
                if "host forwarding rule" not in error.message or attempt == START_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _make_current(self, run: Run) -> None:
        """After a snapshot was loaded: a new connection, the clock set, and what was edited since deployed.

        sshd was answering when the snapshot was taken, so it is not asked first whether it does.
        """
        self._connect(run.endpoint, is_fresh=True)
        self._deploy()

    def _wait_for_ssh(self, run: Run) -> None:
        """Return when sshd answers. InfrastructureError with the end of the console where it will not."""

        def check() -> None:
            complaint = qemurun.console_complaint(self._directory)
            if complaint:
                raise InfrastructureError(f"The machine {self.name} does not boot: {complaint}")
            if not run.is_alive():
                raise InfrastructureError(f"QEMU ended while the machine {self.name} was starting.")

        try:
            ssh.wait_until_it_answers(run.endpoint, BOOT_LIMIT, check)
        except InfrastructureError as error:
            last = "\n".join(programs.tail(self._console, 12) or programs.tail(self._directory / OUTPUT, 5))
            hint = f"Its console ends with\n{last}\nThe whole console: {self._console}"
            raise InfrastructureError(error.message, hint) from error

    # Stopping.

    def _stop(self, *, gently: bool = False) -> None:
        """No QEMU of this machine and no record of one."""
        self._disconnect()
        run = qemurun.read(self._directory)
        if run is not None:
            qemurun.stop(run, self._directory, gently)
        else:
            qemurun.stop_unrecorded(self._directory)

    # Asking.

    def _live_run(self) -> Run | None:
        """The run that is complete and alive."""
        run = qemurun.read(self._directory)
        return run if run is not None and run.ready and run.is_alive() else None

    def _endpoint(self) -> Endpoint | None:
        run = self._live_run()
        return run.endpoint if run else None

    def _wanted(self) -> _Wanted:
        """What the machine shall be like according to lab.yaml, image and kernel (made if need be), QEMU."""
        kernel_config = lab.load().kernel(self._config.kernel)
        qemu = qemucommand.find()
        image = guestimage.ensure()
        kernel = kernels.ensure(kernel_config, image)
        return _Wanted(self._config, image, kernel, qemu, accelerator.choose(qemu, kernel))

    def _snapshot_fingerprint(self) -> str | None:
        """Of the machine that the snapshot was taken of; None where there is no complete one."""
        return records.read(self._directory / SNAPSHOT_RECORD).get("fingerprint")

    def _what_to_do(self) -> str:
        """The hint where it does not answer."""
        logs, reset = task("logs", self.name), task("reset", self.name)
        return f"{reset} brings back a fresh one, {logs} shows the machine's console."


@dataclass(frozen=True)
class _Wanted:
    """A machine as it shall be."""

    config: MachineConfig
    image: GuestImage
    kernel: Kernel
    qemu: Qemu
    accelerator: str

    @property
    def hardware(self) -> list[str]:
        """QEMU's arguments for what the guest sees."""
        arguments, parameters = accelerator.arguments(self.accelerator), accelerator.kernel_parameters(self.accelerator)
        return qemucommand.hardware(self.config, self.kernel, arguments, parameters)

    @property
    def fingerprint(self) -> str:
        """By it a snapshot or a running QEMU is known to be like that."""
        return fingerprint(
            hardware=self.hardware,
            network=qemucommand.user_network(self.config, 0),
            qemu=self.qemu.version,
            disk=self.image.disk_digest,
            kernel=self.kernel.digest,
        )
