"""Where QEMU is, which version, and the command line that makes a machine of the lab."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import ConfigError, MissingToolError
from labkit.host.image.kernels import Kernel
from labkit.host.lab.config import MachineConfig

PROGRAM = "qemu-system-x86_64"

DISK, CONSOLE, OUTPUT = "disk.qcow2", "console.log", "qemu.log"
"""Files of a machine's directory, which is QEMU's working directory: no path with a comma or a colon needs quoting."""

CGROUP = {
    "v2": "systemd.unified_cgroup_hierarchy=1",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
    "hybrid": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0",
}
"""How systemd 252 is told which cgroup hierarchy to mount; kernel-command-line(7)."""

NETWORKS = {"isolated": "on", "open": "off"}
"""The option ``network`` of lab.yaml -> QEMU's ``restrict=``.

``isolated``: the guest reaches nobody, and is reached by this computer's SSH alone. ``open``: it reaches what this
computer reaches.
"""

OPTIONS = ("network", "kernel-parameters")
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


def check_options(config: MachineConfig) -> None:
    """ConfigError where ``options:`` says something that this provider does not know."""
    for name, value in config.options.items():
        if name not in OPTIONS:
            raise ConfigError(
                f"The machine {config.name} has the option “{name}”, which the provider qemu does not know.",
                f"It knows: {', '.join(OPTIONS)}.",
            )
        if name == "network" and value not in NETWORKS:
            raise ConfigError(
                f"The option network of the machine {config.name} is “{value}”.", f"It can be: {', '.join(NETWORKS)}."
            )


def kernel_command_line(config: MachineConfig, of_the_accelerator: str = "") -> str:
    """What is chosen at boot: cgroup version, iptables back end. lab.yaml's own parameters have the last word."""
    words = [
        "console=ttyS0 root=LABEL=labkit rw net.ifnames=0",
        "loglevel=6",  # warnings and worse: the console is slow, and it is read when something is wrong
        CGROUP[config.cgroup],
        f"labkit.iptables={config.iptables}",
        of_the_accelerator,
        config.options.get("kernel-parameters", ""),
    ]
    return " ".join(word for word in words if word)


def hardware(
    config: MachineConfig, kernel: Kernel, accelerator_arguments: list[str], kernel_parameters: str = ""
) -> list[str]:
    """What the guest sees of the command line. A snapshot fits only a machine where all of this is the same."""
    command_line = kernel_command_line(config, kernel_parameters)
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
