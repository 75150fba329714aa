"""A kernel of lab.yaml, ready to boot: the kernel itself, an initrd, and a disk with its modules.

All kernels boot the same userland (guestimage.py); the initrd mounts the modules' disk in it on /lib/modules. So
another kernel costs a download and some 40 MB, and not another image: mmdebstrap gives a trusted apt for its suite, a
hook unpacks the packages and makes the modules' disk.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from labkit.host.image import artifacts
from labkit.host.image.building import initrd, inputs, mmdebstrap
from labkit.host.image.building.inputs import KernelInputs
from labkit.host.image.guestimage import GuestImage
from labkit.host.lab import records
from labkit.host.lab.config import KernelConfig, MachineConfig

_BOOTED = ("vmlinuz", "initrd", "modules.qcow2")

CGROUP = {
    "v2": "systemd.unified_cgroup_hierarchy=1",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
    "hybrid": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0",
}
"""How systemd 252 is told which cgroup hierarchy to mount; kernel-command-line(7)."""

KIND = artifacts.Kind(
    title="kernel",
    directory="kernels",
    files=(*_BOOTED, "facts.json"),
    space=150_000_000,
)

PHASES = (
    (r"I: running apt-get update", "reading the lists of packages"),
    (r"I: kernel packages", "downloading"),
    (r"I: making the disk", "making the disk of modules"),
)


@dataclass(frozen=True)
class Kernel:
    """A kernel in the cache."""

    directory: Path
    vmlinuz: Path
    initrd: Path
    modules: Path
    """A compressed qcow2 with one ext4 file system, labelled ``labkit-modules``: the directory /lib/modules."""
    release: str
    """As ``uname -r`` prints it."""
    digest: str
    """SHA-256 over those of the three files: a snapshot fits this very kernel."""


def current_key(config: KernelConfig) -> str:
    """The key of that kernel in this checkout. Its name does not count, nor which version the suite has just now."""
    return inputs.gather_kernel(config).key


def find(config: KernelConfig) -> Kernel | None:
    """The kernel if it is in the cache and whole, else None."""
    artifact = artifacts.find(KIND, current_key(config))
    return _kernel(artifact) if artifact else None


def ensure(config: KernelConfig, image: GuestImage) -> Kernel:
    """The kernel, fetched if it is not in the cache or not whole; its initrd takes busybox from ``image``.

    Raises as ``guestimage.ensure``.
    """
    wanted = inputs.gather_kernel(config)
    return _kernel(artifacts.ensure(KIND, wanted.key, functools.partial(build, wanted, image.busybox)))


def _kernel(artifact: artifacts.Artifact) -> Kernel:
    directory = artifact.directory
    return Kernel(
        directory=directory,
        vmlinuz=directory / "vmlinuz",
        initrd=directory / "initrd",
        modules=directory / "modules.qcow2",
        release=str(records.read(directory / "facts.json")["release"]),
        digest=hashlib.sha256("".join(artifact.digests[name] for name in _BOOTED).encode()).hexdigest(),
    )


def build(wanted: KernelInputs, busybox: Path, directory: Path, log_file: Path) -> None:
    """Make the files of ``KIND`` in ``directory``; raises as ``guestimage.build``."""
    mmdebstrap.check_tools()
    settings = {"LABKIT_KERNEL_SUITE": wanted.config.suite, "LABKIT_KERNEL_PACKAGE": wanted.config.package}
    title = f"Fetching the kernel {wanted.config.name}"
    mmdebstrap.run(build_command(directory, wanted), settings, log_file, title, PHASES)
    release = (directory / "release").read_text(encoding="ascii")
    init = wanted.scripts["initrd_init.sh"].encode()
    (directory / "initrd").write_bytes(initrd.build(directory / "modules.tar", release, busybox.read_bytes(), init))
    (directory / "facts.json").write_text(json.dumps({"release": release}), encoding="utf-8")
    for name in ("release", "modules.tar"):
        (directory / name).unlink()


def build_command(directory: Path, wanted: KernelInputs) -> list[str]:
    """The command line; its results go to ``directory``."""
    return mmdebstrap.command(
        "custom",
        wanted.config.suite,
        f"--customize-hook={wanted.scripts['make_kernel.sh']}",
        *[mmdebstrap.download(f"/out/{name}", directory / name) for name in ("vmlinuz", "modules.qcow2", "release")],
        f"--customize-hook=tar-out /modules {shlex.quote(str(directory / 'modules.tar'))}",
    )


def command_line(config: MachineConfig, of_the_accelerator: str = "") -> str:
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
