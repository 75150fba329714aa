"""The guest image: the userland that all machines and kernels share, built once.

Beside the disk it holds the client's private key, the guest's public host key, what a kernel's initrd takes from it,
and the containers' base images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.host.image import artifacts
from labkit.host.image.building import inputs

BASE_IMAGES = ("busybox.tar", "redis.tar")
"""The containers' images, which the guest has, too: for the runtime's tests on this computer."""

KIND = artifacts.Kind(
    title="guest image",
    directory="images",
    files=("disk.qcow2", "busybox", "facts.json", "client_key", "host_key.pub", *BASE_IMAGES),
    space=400_000_000,
)


@dataclass(frozen=True)
class GuestImage:
    """A whole image."""

    directory: Path
    disk: Path
    """A compressed qcow2, never written to: machines put an overlay on it."""
    busybox: Path
    """The static program of which an initrd is made."""
    client_key: Path
    """The private key that root's ``authorized_keys`` in the guest knows."""
    host_key: str
    """The guest's public key, ``ssh-ed25519 AAAA…``."""
    key_hash: str
    """The hash of what it was made from, the directory's name."""
    disk_digest: str
    """SHA-256 of the disk. A second build from the same inputs has another: other keys, perhaps newer packages."""


def current_key() -> str:
    """The key of the image that this checkout wants now."""
    return inputs.gather().key


def find() -> GuestImage | None:
    """The image if it is there and whole, else None."""
    artifact = artifacts.find(KIND, current_key())
    return _image(artifact) if artifact else None


def ensure() -> GuestImage:
    """The image, built if it is not in the cache or not whole.

    Raises BuildError (no space, no network, mmdebstrap's own failure) or MissingToolError (mmdebstrap, not on Linux …).
    """
    wanted = inputs.gather()

    def build(directory: Path, log_file: Path) -> None:
        from labkit.host.image.building import (
            guestbuild,  # needed once in a while only, and `invoke up` shall start quickly
        )

        guestbuild.build(wanted, directory, log_file)

    return _image(artifacts.ensure(KIND, wanted.key, build))


def _image(artifact: artifacts.Artifact) -> GuestImage:
    directory = artifact.directory
    return GuestImage(
        directory=directory,
        disk=directory / "disk.qcow2",
        busybox=directory / "busybox",
        client_key=directory / "client_key",
        host_key=(directory / "host_key.pub").read_text(encoding="utf-8").strip(),
        key_hash=artifact.key,
        disk_digest=artifact.digests["disk.qcow2"],
    )
