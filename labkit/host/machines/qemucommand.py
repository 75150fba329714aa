"""Where QEMU is, which version, and the command line that makes a machine of the lab."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import MissingToolError
from labkit.host.image import kernels
from labkit.host.image.kernels import Kernel
from labkit.host.lab.config import MachineConfig

PROGRAM = "qemu-system-x86_64"

DISK, CONSOLE, OUTPUT = "disk.qcow2", "console.log", "qemu.log"
"""Files of a machine's directory, which is QEMU's working directory: no path with a comma or a colon needs quoting."""

NETWORKS = {"isolated": "on", "open": "off"}
"""The option ``network`` of lab.yaml -> QEMU's ``restrict=``.

``isolated``: the guest reaches nobody, and is reached by this computer's SSH alone. ``open``: it reaches what this
computer reaches.
"""

OPTIONS: dict[str, Collection[str]] = {"network": NETWORKS, "kernel-parameters": ()}
"""What lab.yaml's ``options:`` may hold for this provider. ``kernel-parameters`` go to the end of the kernel's command
line, as they are: kernel-parameters(7) has ``module_blacklist=``, ``cgroup_disable=`` and many more.
"""


@dataclass(frozen=True)
class Qemu:
    """The programs, by absolute path, and their version (``7.2.22``)."""

    program: str
    image_program: str
    version: str


@functools.cache
def find() -> Qemu:
    """The QEMU to use: ``LABKIT_QEMU`` (a program or its directory), PATH, or where its installer for Windows puts it.

    MissingToolError where there is none, or where it does not start.
    """
    program = _which(PROGRAM)
    image_program = _which("qemu-img")
    try:
        command = [program, "--version"]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingToolError(f"{program} does not start: {error}", "Install QEMU again.") from error
    version = re.search(r"version (\d+\.\d+[.\d]*)", output)
    return Qemu(program, image_program, version.group(1) if version else output.strip())


def _which(name: str) -> str:
    chosen = os.environ.get("LABKIT_QEMU")
    directories = [os.environ.get("PATH", os.defpath)]
    if chosen:
        directories.insert(0, str(Path(chosen).parent if Path(chosen).is_file() else chosen))
    if sys.platform == "win32":
        directories.append(str(Path(os.environ.get("PROGRAMFILES", "C:\\Program Files")) / "qemu"))
    found = shutil.which(name, path=os.pathsep.join(directories))
    if not found:
        raise MissingToolError(
            f"The program {name} is not installed.",
            "Run `python3 bootstrap.py`, which installs QEMU, or install it yourself: https://www.qemu.org/download/",
        )
    return str(Path(found).absolute())


def hardware(
    config: MachineConfig, kernel: Kernel, accelerator_arguments: list[str], kernel_parameters: str = ""
) -> list[str]:
    """What the guest sees of the command line. A snapshot fits only a machine where all of this is the same."""
    command_line = kernels.command_line(config, kernel_parameters)
    return [
        *["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", *accelerator_arguments],
        *["-smp", str(config.cpus), "-m", str(config.memory_mib), "-rtc", "base=utc"],
        *["-kernel", str(kernel.vmlinuz), "-initrd", str(kernel.initrd), "-append", command_line],
        # cache=unsafe: the host need not write anything before it likes to. After a crash of the *host* the machine is
        # made anew from the image, so there is nothing to protect.
        *["-drive", f"file={DISK},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap"],
        *["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"],
        *["-drive", f"file={_quoted(kernel.modules)},if=none,id=modules,format=qcow2,readonly=on"],
        *["-device", "virtio-blk-pci,drive=modules"],
        *["-device", "virtio-net-pci,netdev=net,romfile="],
        *["-chardev", f"file,id=console,path={CONSOLE}", "-serial", "chardev:console"],
    ]


def _quoted(path: Path) -> str:
    """A path inside one of QEMU's lists of properties, where a comma ends a property."""
    return str(path).replace(",", ",,")


def user_network(config: MachineConfig, ssh_port: int) -> list[str]:
    """User-mode networking: no rights needed, and only the loopback interface of this computer listens."""
    restrict = NETWORKS[config.options.get("network", "isolated")]
    return ["-netdev", f"user,id=net,ipv6=off,restrict={restrict},hostfwd=tcp:127.0.0.1:{ssh_port}-:22"]
