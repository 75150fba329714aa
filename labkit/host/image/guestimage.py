"""The guest image: the userland that all machines and kernels share, built once by a run of mmdebstrap with hooks.

Beside the disk it holds the client's private key, the guest's public host key, what a kernel's initrd takes from it,
and the containers' base images.
"""

from __future__ import annotations

import functools
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from labkit.host.image import artifacts
from labkit.host.image.building import inputs, keys, mmdebstrap
from labkit.host.image.building.guestfiles import guest_files
from labkit.host.image.building.inputs import Inputs
from labkit.host.payload import deployed

BASE_IMAGES = ("busybox.tar", "redis.tar")
"""The containers' images, which the guest has, too: for the runtime's tests on this computer."""

KIND = artifacts.Kind(
    title="guest image",
    directory="images",
    files=("disk.qcow2", "busybox", "facts.json", "client_key", "host_key.pub", *BASE_IMAGES),
    space=400_000_000,
)

PHASES = (
    (r"I: running apt-get update", "reading the lists of packages"),
    (r"Get:\d+ (?!.*Packages \[)(?!.*InRelease)", "downloading packages"),
    (r"I: (extracting archives|installing essential)", "unpacking the essential packages"),
    (r"I: installing remaining", "installing the other packages"),
    (r"I: running .*finish_guest", "compiling, making the base images"),
    (r"I: running .*Make the disk", "making the disk"),
    (r"I: removing tempdir", "cleaning up"),
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
    return _image(artifacts.ensure(KIND, wanted.key, functools.partial(build, wanted)))


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


def build(wanted: Inputs, directory: Path, log_file: Path) -> None:
    """Make the files of ``KIND`` in ``directory``.

    The directory exists and is the caller's to delete if this raises: MissingToolError, BuildError (with the last lines
    of ``log_file``), KeyboardInterrupt (mmdebstrap was ended first and has cleaned up).
    """
    mmdebstrap.check_tools()
    client, host = keys.generate(), keys.generate()
    keys.write_private(directory / "client_key", client.private)
    (directory / "host_key.pub").write_text(host.public + "\n", encoding="utf-8")
    configuration = guest_files(client.public, host.private, host.public, secrets.token_hex(16))
    configuration |= {f"{deployed.PREFIX}/{path}": contents for path, contents in wanted.payload.items()}
    configuration |= {f"/labkit-build/{name}": text.encode() for name, text in wanted.scripts.items()}
    keys.write_private(directory / "guest.tar", deployed.pack(configuration))
    mmdebstrap.run(build_command(directory, wanted), {}, log_file, "Building the guest image", PHASES)
    (directory / "guest.tar").unlink()


def build_command(directory: Path, wanted: Inputs) -> list[str]:
    """The command line; its results go to ``directory``."""
    images = "/usr/share/labkit/images"
    return mmdebstrap.command(
        "essential",
        inputs.SUITE,
        f"--include={','.join(inputs.PACKAGES)}",
        "--dpkgopt=force-unsafe-io",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in inputs.EXCLUDED],
        f"--customize-hook=tar-in {shlex.quote(str(directory / 'guest.tar'))} /",
        '--customize-hook=chroot "$1" python3 /labkit-build/finish_guest.py',
        mmdebstrap.download("/labkit-out/facts.json", directory / "facts.json"),
        mmdebstrap.download("/bin/busybox", directory / "busybox"),
        *[mmdebstrap.download(f"{images}/{name}", directory / name) for name in BASE_IMAGES],
        '--customize-hook=rm -r "$1/labkit-out"',
        f"--customize-hook={wanted.scripts['make_disk.sh']}",
        mmdebstrap.download("/labkit-out/disk.qcow2", directory / "disk.qcow2"),
    )
