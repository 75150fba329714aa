"""Our own Vagrant box: the guest image and a kernel, packed as vagrant-libvirt wants them.

``cache_dir()/boxes/`` holds ``labkit-KERNEL.box``, ``labkit-KERNEL.box.sha256`` (as ``sha256sum --check`` reads it) and
``labkit-KERNEL.json``, a catalogue in Vagrant's format, which has name, version and checksum, so that Vagrant itself
refuses another file. The box is verified before Vagrant gets it; what Vagrant has unpacked is Vagrant's.

The disk is the very one of the qemu machine. What must be each machine's own (host key, way in) is made at its first
boot, which ``labkit.box`` on the kernel's command line asks for (labkit/host/image/building/guestfiles.py).
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from labkit import log
from labkit.errors import BuildError, InfrastructureError, UsageError
from labkit.host.image import artifacts, guestimage, kernels
from labkit.host.image.guestimage import GuestImage
from labkit.host.image.kernels import Kernel
from labkit.host.lab import paths, records
from labkit.host.lab.config import KernelConfig, MachineConfig

PROVIDERS = ("libvirt",)
"""Those that boot a kernel from a file. The others want one in the disk, with a boot loader: they have stock boxes."""

DISK_GIB = 8
"""The disk's size as make_disk.sh makes it."""

SPACE_NEEDED = 500_000_000
"""Bytes for a box, generously."""

# The box works with any Vagrantfile; the lab's own says more (cgroup version, iptables back end).
_VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = File.join(__dir__, "vmlinuz")
    libvirt.initrd = File.join(__dir__, "initrd")
    libvirt.cmd_line = "{command_line} labkit.box"
  end
end
"""


@dataclass(frozen=True)
class Box:
    """A box that is there."""

    name: str
    version: str
    """The day and the second of the day on which it was made: ``20261124.29730``."""
    path: Path
    catalogue: Path
    """As a URI it is Vagrant's ``box_url``."""

    @property
    def checksum_file(self) -> Path:
        """As ``sha256sum`` writes it."""
        return self.path.with_name(f"{self.path.name}.sha256")


def name_for(kernel: KernelConfig) -> str:
    """What Vagrant calls the box of that kernel."""
    return f"labkit-{kernel.name}"


def boxes_dir() -> Path:
    """Where all boxes are."""
    return paths.cache_dir() / "boxes"


def check_provider(provider: str) -> None:
    """UsageError for a provider for which there is no box of our own."""
    if provider not in PROVIDERS:
        raise UsageError(
            f"There is no box of the lab's own for the provider {provider}.",
            f"There is one for {', '.join(PROVIDERS)}; the others start from stock boxes: "
            f"`invoke up --provider {provider}`.",
        )


def ensure(kernel: KernelConfig) -> Box:
    """The box for ``kernel``, made if there is none of this checkout's image and kernel.

    InfrastructureError where its checksum is wrong, looked at unless Vagrant has unpacked this version already; else as
    ``make``.
    """
    box = find(kernel)
    if box is None:
        return make(kernel)
    if not _installed(box):
        verify(box)
    return box


def find(kernel: KernelConfig) -> Box | None:
    """The box if it is there and was made of what this checkout wants now. Its contents are not read."""
    name = name_for(kernel)
    path, catalogue = boxes_dir() / f"{name}.box", boxes_dir() / f"{name}.json"
    described = records.read(catalogue)
    if described.get("labkit") != _made_of(kernel) or not path.is_file():
        return None
    (version,) = described["versions"]
    # Brought from elsewhere: Vagrant wants the file's place in full.
    if version["providers"][0]["url"] != path.as_uri():
        version["providers"][0]["url"] = path.as_uri()
        records.write(catalogue, described)
    return Box(name, version["version"], path, catalogue)


def verify(box: Box) -> None:
    """InfrastructureError where the box is not the one that its checksum file is of. Reads all of it: 0.5 s."""
    with log.step(f"Verifying the box {box.name}"):
        try:
            wanted = box.checksum_file.read_text(encoding="ascii").split()[0]
        except (OSError, ValueError, IndexError):
            wanted = "none"
        found = artifacts.digest(box.path)
    if found != wanted:
        raise InfrastructureError(
            f"The box {box.path} is damaged: its SHA-256 is not the one in {box.checksum_file.name}.",
            "Copy it once more, or make it again: `invoke box --provider libvirt`.",
        )


def make(kernel: KernelConfig) -> Box:
    """Make the box, of the image and the kernel, which are made if need be; an older one of this kernel is replaced.

    Raises BuildError (no space), and what ``guestimage.ensure`` and ``kernels.ensure`` raise.
    """
    image = guestimage.ensure()
    booted = kernels.ensure(kernel, image)
    directory = boxes_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths.check_space("The box", SPACE_NEEDED, directory, "LABKIT_CACHE", BuildError)
        with tempfile.TemporaryDirectory(prefix="box-", suffix=".partial", dir=directory) as partial:
            return _make(kernel, image, booted, Path(partial))
    except OSError as error:
        raise BuildError(f"The box could not be written: {error}", "Is the disk full?") from error


def _make(kernel: KernelConfig, image: GuestImage, booted: Kernel, partial: Path) -> Box:
    name = name_for(kernel)
    box = Box(name, _version(), boxes_dir() / f"{name}.box", boxes_dir() / f"{name}.json")
    with log.step(f"Packing the box {name}"):
        digest = _pack(image, booted, partial / box.path.name)
    catalogue = {
        "name": name,
        "description": "A machine of the lab, made from its guest image; see labkit's README.",
        "versions": [
            {
                "version": box.version,
                "providers": [
                    {"name": "libvirt", "url": box.path.as_uri(), "checksum_type": "sha256", "checksum": digest}
                ],
            }
        ],
        "labkit": _made_of(kernel),
    }
    (partial / box.checksum_file.name).write_text(f"{digest}  {box.path.name}\n", encoding="ascii")
    records.write(partial / box.catalogue.name, catalogue)
    box.catalogue.unlink(missing_ok=True)  # An interruption from here on leaves no box, rather than half of another.
    for file in (box.path, box.checksum_file, box.catalogue):
        (partial / file.name).replace(file)
    return box


def _pack(image: GuestImage, booted: Kernel, path: Path) -> str:
    """Write the box; its SHA-256."""
    # Format 2 of vagrant-libvirt's boxes, with more than one disk: plugin 0.8 and newer.
    metadata = {
        "provider": "libvirt",
        "format": "qcow2",
        "virtual_size": DISK_GIB,
        "disks": [{"format": "qcow2", "path": "box.img"}, {"format": "qcow2", "path": "modules.img"}],
    }
    command_line = kernels.command_line(MachineConfig("box"))
    texts = {"metadata.json": json.dumps(metadata), "Vagrantfile": _VAGRANTFILE.format(command_line=command_line)}
    files = {
        "vmlinuz": booted.vmlinuz,
        "initrd": booted.initrd,
        "box.img": image.disk,
        "modules.img": booted.modules,
    }
    # The disks are compressed already.
    with tarfile.open(path, mode="w:gz", compresslevel=1, format=tarfile.USTAR_FORMAT) as tar:
        for name, text in texts.items():
            tar.addfile(_member(name, len(text.encode())), io.BytesIO(text.encode()))
        for name, file in files.items():
            with open(file, "rb") as contents:
                tar.addfile(_member(name, os.fstat(contents.fileno()).st_size), contents)
    return artifacts.digest(path)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, int(time.time())
    return member


def _version() -> str:
    """Vagrant's versions are numbers with points between them; the newer one is the greater."""
    now = time.gmtime()
    return f"{time.strftime('%Y%m%d', now)}.{now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec}"


def _made_of(kernel: KernelConfig) -> str:
    """The keys of image and kernel: the same inputs, the same box."""
    return f"{guestimage.current_key()}-{kernels.current_key(kernel)}"


def _installed(box: Box) -> bool:
    """Whether Vagrant has unpacked this version."""
    place = vagrant_home() / "boxes" / box.name / box.version
    return (place / "libvirt").is_dir() or any(place.glob("*/libvirt"))


def vagrant_home() -> Path:
    """Where Vagrant keeps boxes, for all of a user's projects."""
    return Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
