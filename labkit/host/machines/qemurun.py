"""One run of QEMU: the process, where its monitor and its SSH port are, and the record of it on disk.

The record is what makes a machine "running" for later commands. It is written when the process has started, and marked
ready when the machine is deployed and saved; whoever finds one that is not ready knows that an ``up`` was killed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.errors import InfrastructureError
from labkit.host.lab import programs, records
from labkit.host.machines import consolelog, processes, qmp
from labkit.host.machines.qemucommand import CONSOLE, OUTPUT
from labkit.host.wire.ssh import Endpoint

RECORD, PIDFILE, SOCKET = "run.json", "qemu.pid", "monitor"
_SOCKET_DIRECTORY = "labkit-monitor-"
LONGEST_SOCKET_PATH = 100
"""sun_path of unix(7) has 108 bytes on Linux and 104 on macOS, the final zero included."""
START_LIMIT = 60.0
"""Seconds until QEMU's monitor greets, loading a snapshot included."""


@dataclass(frozen=True)
class Run:
    """A QEMU process of ours."""

    ssh_port: int
    monitor: str
    """A socket's path, or ``PORT`` on the loopback interface on Windows."""
    fingerprint: str
    """Of the hardware, see ``qemu.py``."""
    accelerator: str
    kernel_release: str
    image_key: str
    client_key: str
    host_key: str
    pid: int = 0
    identity: str = ""
    ready: bool = False

    @property
    def monitor_address(self) -> qmp.Address:
        """As qmp.py wants it."""
        return ("127.0.0.1", int(self.monitor)) if self.monitor.isdigit() else self.monitor

    @property
    def endpoint(self) -> Endpoint:
        """Where its sshd is."""
        return Endpoint("127.0.0.1", self.ssh_port, Path(self.client_key), self.host_key)

    def is_alive(self) -> bool:
        """Whether that very process is still there."""
        return processes.is_alive(self.pid, self.identity)

    def write(self, directory: Path) -> None:
        """Record it, at once."""
        records.write(directory / RECORD, asdict(self))

    def mark_ready(self, directory: Path) -> Run:
        """Record that the machine is complete."""
        ready = replace(self, ready=True)
        ready.write(directory)
        return ready


def read(directory: Path) -> Run | None:
    """The recorded run, alive or not; None where there is none, or where the record cannot be read."""
    try:
        return Run(**records.read(directory / RECORD))
    except TypeError:
        return None


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now. Whoever uses it must expect to lose the race."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def monitor_place(directory: Path) -> str:
    """Where the monitor shall listen: a socket in the machine's directory, or nearer to / where that is too deep."""
    if sys.platform == "win32":
        return str(free_port())
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    return str(Path(tempfile.mkdtemp(prefix=_SOCKET_DIRECTORY)) / SOCKET)  # mkdtemp: nobody else may enter


def monitor_arguments(monitor: str) -> list[str]:
    """QEMU's arguments for it."""
    where = f"host=127.0.0.1,port={monitor}" if monitor.isdigit() else f"path={monitor.replace(',', ',,')}"
    return ["-chardev", f"socket,id=monitor,{where},server=on,wait=off", "-mon", "chardev=monitor,mode=control"]


def start(command: list[str], directory: Path, unstarted: Run) -> Run:
    """Start QEMU, record the run, and wait until the machine is set up (and its snapshot loaded).

    ``unstarted`` is the run as it will be, without pid and identity. InfrastructureError with QEMU's own words where it
    ends; then, and when we are interrupted, no process and no record is left.
    """
    run = unstarted
    arguments = [*command, "-pidfile", PIDFILE, *monitor_arguments(run.monitor)]
    consolelog.forget_reset(directory / CONSOLE)
    try:
        pid = processes.start(arguments, directory, directory / OUTPUT)
        run = replace(run, pid=pid, identity=processes.identity(pid) or "ended")
        run.write(directory)
        # QEMU greets, and so answers, after `-loadvm` is done.
        qmp.execute(run.monitor_address, "query-status", seconds=START_LIMIT, still_there=run.is_alive)
    except InfrastructureError as error:
        words = "\n".join(programs.tail(directory / OUTPUT, 3))
        stop(run, directory)
        reason = f"QEMU does not start: {words or error.message}"
        raise InfrastructureError(reason, "`invoke doctor` may know why.") from error
    except BaseException:
        stop(run, directory)
        raise
    return run


def stop(run: Run, directory: Path, gently: bool = False) -> None:
    """End the process, whatever state it is in, and delete its record. ``gently``: ask QEMU first, and let it write."""
    if run.pid:
        if gently and run.is_alive():
            qmp.quit_qemu(run.monitor_address)
            processes.wait_for_end(run.pid, run.identity, 5)
        processes.end(run.pid, run.identity)
    for name in (RECORD, PIDFILE):
        (directory / name).unlink(missing_ok=True)
    _delete_monitor(run.monitor, directory)


def stop_unrecorded(directory: Path) -> None:
    """End a QEMU that was started just before its ``up`` was killed, so that no record tells of it.

    Its pidfile alone would not do, since a pid is used again. But who answers on this machine's socket belongs to it.
    """
    monitor = directory / SOCKET
    if monitor.exists() and len(os.fsencode(monitor)) <= LONGEST_SOCKET_PATH:
        qmp.quit_qemu(str(monitor), seconds=1)
    for name in (RECORD, PIDFILE, SOCKET):
        with contextlib.suppress(OSError):
            (directory / name).unlink()


def _delete_monitor(monitor: str, directory: Path) -> None:
    """Delete the socket, and the directory that ``monitor_place`` made for it alone.

    The path comes from a file that anybody may have edited, so nothing is deleted recursively, and no directory but an
    empty one of the temporary directory that has our prefix.
    """
    path = Path(monitor)
    if monitor.isdigit() or not path.is_absolute() or path.name != SOCKET:
        return
    made_for_it = path.parent.name.startswith(_SOCKET_DIRECTORY) and path.parent.parent == Path(tempfile.gettempdir())
    if path.parent != directory and not made_for_it:
        return
    path.unlink(missing_ok=True)
    if made_for_it:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def console_complaint(directory: Path) -> str:
    """What on the console says that this boot will not succeed; else nothing."""
    lines = programs.tail(directory / CONSOLE, 60)
    signs = ("Kernel panic", "labkit initrd: cannot mount", "You are in emergency mode")
    return next((line.strip() for sign in signs for line in lines if sign in line), "")
