"""Everything that the guest image is made from, and the hash of it by which an image is found again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources

from labkit.host import payload
from labkit.host.config import KernelConfig
from labkit.host.image.guestfiles import guest_files

FORMAT = 1
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
    """.split()
)

EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/lintian/*")
"""Paths that dpkg leaves out: nobody reads them in the machine."""

SCRIPTS = (
    "fetch_kernel.sh",
    "make_disk.sh",
    "initrd_init.sh",
    "make_initrd.py",
    "finish_guest.py",
    "make_base_images.py",
)
"""Files of labkit/host/resources that run in the build."""


def script(name: str) -> str:
    """The text of a script, with LF line ends also where the checkout has others."""
    text = (resources.files("labkit.host") / "resources" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@dataclass(frozen=True)
class Inputs:
    """What one image is made from."""

    kernel: KernelConfig
    scripts: dict[str, str]
    payload: dict[str, bytes]
    """Path below ``payload.PREFIX`` -> contents."""

    @property
    def key(self) -> str:
        """16 hexadecimal digits: the same inputs, the same image. Keys and packages' versions are not inputs."""
        digest = hashlib.sha256()
        described = {
            "format": FORMAT,
            "suite": SUITE,
            "architecture": ARCHITECTURE,
            "packages": PACKAGES,
            "excluded": EXCLUDED,
            "kernel": [self.kernel.suite, self.kernel.package],
            "scripts": self.scripts,
            "configuration": {path: text.decode() for path, text in guest_files("", b"", "", "").items()},
            "payload": payload.manifest(self.payload),
        }
        digest.update(json.dumps(described, sort_keys=True).encode())
        return digest.hexdigest()[:16]


def gather(kernel: KernelConfig) -> Inputs:
    """The inputs of the image for ``kernel``, as they are now in this checkout and this Python environment."""
    return Inputs(kernel, {name: script(name) for name in SCRIPTS}, payload.image_files())
