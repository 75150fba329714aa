"""Which accelerator QEMU can use here: proved by a boot, not assumed from a device file.

A ``/dev/kvm`` that opens can still hang its guests or crash QEMU (nested virtualisation), and a hypervisor can be there
and refuse. So each candidate boots our own kernel, without a disk, until that starts its first program, within a limit.
The verdict is remembered for this version of QEMU and this release of the host's kernel.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit import log
from labkit.errors import UsageError
from labkit.host.image.kernels import Kernel
from labkit.host.lab import paths, programs, records
from labkit.host.machines.qemucommand import Qemu

SOFTWARE = "tcg"
"""Emulation in software: always there, and ten times slower."""

FIRST_WORD_LIMIT = 4.0
"""Seconds until the kernel must have printed something. Even software emulation takes only one."""
BOOT_LIMIT = 15.0
"""Seconds until the kernel must have started its first program."""

_STARTED = b"Run /init as init process"
_ARGUMENTS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    "hvf": ["-accel", "hvf", "-cpu", "host"],
    # QEMU's own interrupt controller: the one of the Windows hypervisor lacks what Linux uses (MSI).
    "whpx": ["-accel", "whpx,kernel-irqchip=off"],
    "tcg": ["-accel", "tcg,thread=multi", "-cpu", "max"],
}


@dataclass(frozen=True)
class Verdict:
    """What a proof found."""

    works: bool
    why: str


def kernel_parameters(name: str) -> str:
    """What the guest's kernel is told on its command line beside, separated by blanks.

    In emulation its processors have no "invariant" time stamp counter, so that x86's kernel takes the counters for
    unsynchronized and asks the emulated HPET for the time: a tenth of all that a guest does. They are the host's.
    """
    return "tsc=reliable" if name == SOFTWARE else ""


def arguments(name: str) -> list[str]:
    """QEMU's arguments for an accelerator. UsageError for an unknown name."""
    if name not in _ARGUMENTS:
        raise UsageError(f"LABKIT_ACCEL={name} is no accelerator.", f"There are: {', '.join(_ARGUMENTS)}.")
    return _ARGUMENTS[name]


def candidates() -> list[str]:
    """What this platform may have, the best first. The guest is x86-64, so another processor can only emulate it."""
    found = []
    if platform.machine().lower() in ("x86_64", "amd64"):
        if sys.platform == "linux" and os.access("/dev/kvm", os.R_OK | os.W_OK):
            found.append("kvm")
        elif sys.platform == "darwin":
            found.append("hvf")
        elif sys.platform == "win32":
            found.append("whpx")
    return [*found, SOFTWARE]


def choose(qemu: Qemu, kernel: Kernel) -> str:
    """The best accelerator that works here: ``LABKIT_ACCEL``, unproved, or the first candidate that is proved."""
    forced = os.environ.get("LABKIT_ACCEL")
    if forced:
        arguments(forced)
        return forced
    for name in candidates():
        if name == SOFTWARE:
            return name
        verdict = remembered(name, qemu)
        if verdict is None:
            with log.step(f"Trying the accelerator {name}") as step:
                verdict = prove(name, qemu, kernel)
                step.note(verdict.why)
            _remember(name, qemu, verdict)
        if verdict.works:
            return name
    return SOFTWARE


def remembered(name: str, qemu: Qemu) -> Verdict | None:
    """What an earlier proof of an accelerator found on this computer as it is now, if there was one."""
    entry = records.read(_verdicts_file()).get(_key(name, qemu))
    return Verdict(**entry) if entry else None


def prove(name: str, qemu: Qemu, kernel: Kernel) -> Verdict:
    """Boot the kernel under an accelerator until it starts its first program, or a limit is reached."""
    command = [
        *[qemu.program, "-nodefaults", "-display", "none", "-machine", "q35", *arguments(name)],
        *["-smp", "2", "-m", "256"],
        *["-kernel", str(kernel.vmlinuz), "-initrd", str(kernel.initrd), "-append", "console=ttyS0 panic=-1"],
        *["-no-reboot", "-serial", "stdio", "-monitor", "none"],
    ]
    # A directory of its own: a QEMU that crashes may leave a core file in its working directory.
    with tempfile.TemporaryDirectory() as directory:
        console, errors = Path(directory, "console"), Path(directory, "errors")
        with open(console, "wb") as to_console, open(errors, "wb") as to_errors:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=to_console,
                stderr=to_errors,
                **programs.apart(),
            )
        try:
            return _watch(process, console, errors)
        finally:
            process.kill()
            process.wait()


def _watch(process: subprocess.Popen[bytes], console: Path, errors: Path) -> Verdict:
    """Look at the console until it says enough, or for too long too little."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < BOOT_LIMIT:
        said = console.read_bytes()
        if _STARTED in said:
            return Verdict(True, f"its guest boots in {waited:.1f} s")
        if process.poll() is not None:
            last = (programs.tail(errors, 1) or [f"status {process.returncode}"])[0].strip()
            return Verdict(False, f"QEMU ends: {last}")
        if waited > FIRST_WORD_LIMIT and not said:
            return Verdict(False, f"its guest hangs: not a word in {FIRST_WORD_LIMIT:.0f} s")
        time.sleep(0.05)
    return Verdict(False, f"its guest does not start a program within {BOOT_LIMIT:.0f} s")


def _verdicts_file() -> Path:
    return paths.cache_dir() / "accelerators.json"


def _key(name: str, qemu: Qemu) -> str:
    return f"{name}, QEMU {qemu.version}, {platform.system()} {platform.release()}"


def _remember(name: str, qemu: Qemu, verdict: Verdict) -> None:
    file = _verdicts_file()
    with contextlib.suppress(OSError):  # A cache that others share may be read-only: the next `up` proves it again.
        file.parent.mkdir(parents=True, exist_ok=True)
        records.write(file, {**records.read(file), _key(name, qemu): asdict(verdict)})
