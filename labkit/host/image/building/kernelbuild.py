"""Fetching a kernel: mmdebstrap gives a trusted apt for its suite, a hook unpacks and makes the modules' disk."""

from __future__ import annotations

import json
from pathlib import Path

from labkit.host.image.building import initrd, mmdebstrap
from labkit.host.image.building.inputs import KernelInputs
from labkit.host.image.building.sources import sources

PHASES = (
    (r"I: running apt-get update", "reading the lists of packages"),
    (r"I: kernel packages", "downloading"),
    (r"I: making the disk", "making the disk of modules"),
)


def build(wanted: KernelInputs, busybox: Path, directory: Path, log_file: Path) -> None:
    """Make the files of ``kernels.KIND`` in ``directory``; raises as ``guestbuild.build``."""
    mmdebstrap.check_tools()
    settings = {"LABKIT_KERNEL_SUITE": wanted.config.suite, "LABKIT_KERNEL_PACKAGE": wanted.config.package}
    title = f"Fetching the kernel {wanted.config.name}"
    mmdebstrap.run(command(directory, wanted), settings, log_file, title, PHASES)
    release = (directory / "release").read_text(encoding="ascii")
    init = wanted.scripts["initrd_init.sh"].encode()
    (directory / "initrd").write_bytes(initrd.build(directory / "modules.tar", release, busybox.read_bytes(), init))
    (directory / "facts.json").write_text(json.dumps({"release": release}), encoding="utf-8")
    for name in ("release", "modules.tar"):
        (directory / name).unlink()


def command(directory: Path, wanted: KernelInputs) -> list[str]:
    """The command line; its results go to ``directory``."""
    suite = wanted.config.suite
    return [
        *mmdebstrap.command("custom"),
        f"--customize-hook={wanted.scripts['make_kernel.sh']}",
        *[mmdebstrap.download(f"/out/{name}", directory / name) for name in ("vmlinuz", "modules.qcow2", "release")],
        mmdebstrap.bring_tree("/modules", directory / "modules.tar"),
        suite,
        "-",
        *sources(suite),
    ]
