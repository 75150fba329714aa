from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from labkit.errors import BuildError, InfrastructureError, UsageError
from labkit.host.image import box, guestimage, kernels
from labkit.host.image.guestimage import GuestImage
from labkit.host.image.kernels import Kernel
from labkit.host.lab.config import KernelConfig

KERNEL = KernelConfig("6.1", "bookworm", "linux-image-cloud-amd64")


@pytest.fixture(autouse=True)
def small_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image and a kernel of a few bytes; a home without Vagrant in it."""
    for name in ("disk.qcow2", "vmlinuz", "initrd", "modules.qcow2"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    image = GuestImage(
        tmp_path,
        tmp_path / "disk.qcow2",
        tmp_path / "busybox",
        tmp_path / "client_key",
        "ssh-ed25519 A",
        "key",
        "d" * 64,
    )
    files = [tmp_path / name for name in ("vmlinuz", "initrd", "modules.qcow2")]
    kernel = Kernel(tmp_path, *files, "6.1.0-1-cloud-amd64", "e" * 64)
    monkeypatch.setattr(guestimage, "ensure", lambda: image)
    monkeypatch.setattr(guestimage, "current_key", lambda: "image-key")
    monkeypatch.setattr(kernels, "ensure", lambda _config, _image: kernel)
    monkeypatch.setattr(kernels, "current_key", lambda config: f"key-of-{config.name}")
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path / "vagrant.d"))
    return tmp_path


def test_what_is_in_a_box(small_image: Path) -> None:
    made = box.make(KERNEL)
    with tarfile.open(made.path) as tar:
        names = tar.getnames()
        contents = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert names == ["metadata.json", "Vagrantfile", "vmlinuz", "initrd", "box.img", "modules.img"]
    assert contents["box.img"] == (small_image / "disk.qcow2").read_bytes()
    assert contents["modules.img"] == (small_image / "modules.qcow2").read_bytes()
    metadata = json.loads(contents["metadata.json"])
    assert [disk["path"] for disk in metadata["disks"]] == ["box.img", "modules.img"]
    assert (metadata["provider"], metadata["format"]) == ("libvirt", "qcow2")
    # Without this word on its command line a machine of the box has the image's keys, which are everybody's.
    assert 'labkit.box"' in contents["Vagrantfile"].decode()


def test_the_checksum_is_the_files_and_the_catalogue_has_it() -> None:
    made = box.make(KERNEL)
    digest = hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert made.checksum_file.read_text() == f"{digest}  labkit-6.1.box\n"
    catalogue = json.loads(made.catalogue.read_text())
    (version,) = catalogue["versions"]
    assert (catalogue["name"], version["version"]) == ("labkit-6.1", made.version)
    assert version["providers"] == [
        {"name": "libvirt", "url": made.path.as_uri(), "checksum_type": "sha256", "checksum": digest}
    ]
    box.verify(made)


def test_sha256sum_agrees() -> None:
    made = box.make(KERNEL)
    command = ["sha256sum", "--check", "--status", made.checksum_file.name]
    try:
        done = subprocess.run(command, cwd=made.path.parent, check=False)
    except FileNotFoundError:
        pytest.skip("there is no sha256sum here")
    assert done.returncode == 0


def test_a_box_is_made_once_and_found_again() -> None:
    made = box.ensure(KERNEL)
    assert box.ensure(KERNEL) == made
    assert sorted(path.name for path in box.boxes_dir().iterdir()) == [
        "labkit-6.1.box",
        "labkit-6.1.box.sha256",
        "labkit-6.1.json",
    ]
    assert tuple(map(int, made.version.split("."))) > (20260101, -1)


def test_each_kernel_has_a_box() -> None:
    assert box.ensure(KERNEL).path != box.ensure(KernelConfig("6.12", "trixie", "p")).path
    assert box.find(KERNEL) is not None


def test_a_box_of_another_image_is_not_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    box.make(KERNEL)
    monkeypatch.setattr(guestimage, "current_key", lambda: "newer")
    assert box.find(KERNEL) is None


@pytest.mark.parametrize("damage", ["box", "checksum", "no checksum"])
def test_a_box_whose_checksum_is_wrong(damage: str) -> None:
    made = box.make(KERNEL)
    if damage == "box":
        made.path.write_bytes(made.path.read_bytes()[:-1] + b"?")
    elif damage == "checksum":
        made.checksum_file.write_text(f"{'0' * 64}  labkit-6.1.box\n")
    else:
        made.checksum_file.unlink()
    with pytest.raises(InfrastructureError, match="is damaged: its SHA-256") as raised:
        box.ensure(KERNEL)
    assert "`invoke box --provider libvirt`" in raised.value.hint
    box.make(KERNEL)  # mends it
    box.ensure(KERNEL)


def test_what_vagrant_has_unpacked_is_not_read_again(small_image: Path) -> None:
    made = box.make(KERNEL)
    (small_image / "vagrant.d" / "boxes" / made.name / made.version / "libvirt").mkdir(parents=True)
    made.checksum_file.unlink()
    assert box.ensure(KERNEL) == made


def test_a_box_that_was_brought_from_elsewhere() -> None:
    """Vagrant wants the whole address of the file, which is another one here."""
    made = box.make(KERNEL)
    catalogue = json.loads(made.catalogue.read_text())
    catalogue["versions"][0]["providers"][0]["url"] = "file:///elsewhere/labkit-6.1.box"
    made.catalogue.write_text(json.dumps(catalogue))
    assert box.find(KERNEL) == made
    assert json.loads(made.catalogue.read_text())["versions"][0]["providers"][0]["url"] == made.path.as_uri()


def test_an_interrupted_packing_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(box, "_pack", interrupt)
    with pytest.raises(KeyboardInterrupt):
        box.make(KERNEL)
    assert list(box.boxes_dir().iterdir()) == []


def test_no_space_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "SPACE_NEEDED", 10**18)
    with pytest.raises(BuildError, match="The box needs"):
        box.make(KERNEL)
    assert list(box.boxes_dir().iterdir()) == []


def test_other_providers_have_stock_boxes() -> None:
    with pytest.raises(UsageError, match="no box of the lab's own for the provider virtualbox") as raised:
        box.check_provider("virtualbox")
    assert "libvirt" in raised.value.hint
