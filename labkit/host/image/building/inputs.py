"""Everything that the guest image and a kernel are made from, and the hash of it by which they are found again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from labkit.host.image.building.guestfiles import guest_files
from labkit.host.lab.config import KernelConfig
from labkit.host.payload import deployed

FORMAT = 2
"""Counted up when the build itself changes in a way that no input shows."""

SUITE = "bookworm"
"""Debian 12: its systemd (252) is the last of a Debian release that still boots with cgroup v1."""

ARCHITECTURE = "amd64"

# Beside what is essential to Debian. No apt: a machine of the lab has no network, and what it needs is here.
PACKAGES = tuple(
    """
    systemd-sysv udev kmod util-linux mount openssh-server sudo bash less procps psmisc tree strace
    python3 iproute2 iptables iputils-ping bridge-utils cgroup-tools
    redis-server redis-tools busybox-static tcc libc6-dev fuse-overlayfs
    podman netavark aardvark-dns crun uidmap tini
    """.split()
)

EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/lintian/*")
"""Paths that dpkg leaves out: nobody reads them in the machine."""

SCRIPTS = ("make_disk.sh", "finish_guest.py", "make_base_images.py")
"""Files of labkit/host/image/resources that run in the build of the image."""

KERNEL_SCRIPTS = ("make_kernel.sh", "initrd_init.sh")
"""Those that a kernel is made with."""


def script(name: str, directory: str = "resources") -> str:
    """The text of a script, with LF line ends also where the checkout has others."""
    text = (resources.files("labkit.host.image") / directory / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@dataclass(frozen=True)
class Inputs:
    """What the image is made from."""

    scripts: dict[str, str]
    payload: dict[str, bytes]
    """Path below ``deployed.PREFIX`` -> contents."""

    @property
    def key(self) -> str:
        """16 hexadecimal digits: the same inputs, the same image. Keys and packages' versions are not inputs."""
        return _key(
            {
                "format": FORMAT,
                "suite": SUITE,
                "architecture": ARCHITECTURE,
                "packages": PACKAGES,
                "excluded": EXCLUDED,
                "scripts": self.scripts,
                "configuration": {path: text.decode() for path, text in guest_files("", b"", "", "").items()},
                "payload": deployed.manifest(self.payload),
            }
        )


@dataclass(frozen=True)
class KernelInputs:
    """What a kernel is made from, beside the package itself."""

    config: KernelConfig
    scripts: dict[str, str]
    initrd_maker: str
    """The text of ``initrd.py``."""

    @property
    def key(self) -> str:
        """As ``Inputs.key``."""
        return _key(
            {
                "format": FORMAT,
                "architecture": ARCHITECTURE,
                "kernel": [self.config.suite, self.config.package],
                "scripts": self.scripts,
                "initrd": self.initrd_maker,
            }
        )


def gather() -> Inputs:
    """The inputs of the image, as they are now in this checkout and this Python environment."""
    return Inputs({name: script(name) for name in SCRIPTS}, deployed.image_files())


def gather_kernel(config: KernelConfig) -> KernelInputs:
    """The inputs of the kernel that ``config`` describes."""
    return KernelInputs(config, {name: script(name) for name in KERNEL_SCRIPTS}, script("initrd.py", "building"))


def _key(described: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
