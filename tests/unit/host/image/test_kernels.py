"""Kernels: what their keys depend on, what comes out of the cache, and the initrd that is made for them."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import BuildError
from labkit.host.image import guestimage, kernels
from labkit.host.image.building import initrd, inputs
from labkit.host.image.building.inputs import Inputs, KernelInputs
from labkit.host.lab.config import KernelConfig

KERNEL = KernelConfig("6.1", "bookworm", "linux-image-cloud-amd64")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was built, by stand-ins for the minute of mmdebstrap."""
    calls: list[str] = []

    def build_guest(wanted: Inputs, directory: Path, log_file: Path) -> None:
        calls.append("guest")
        for name in guestimage.KIND.files:
            (directory / name).write_text(f"this is {name}\n", encoding="utf-8")

    def build_kernel(wanted: KernelInputs, busybox: Path, directory: Path, log_file: Path) -> None:
        calls.append(wanted.config.name)
        assert busybox.is_file()
        for name in kernels.KIND.files:
            (directory / name).write_text(f"this is {name} of {wanted.config.name}\n", encoding="utf-8")
        (directory / "facts.json").write_text(f'{{"release": "{wanted.config.name}.0-cloud"}}', encoding="utf-8")

    monkeypatch.setattr(guestimage, "build", build_guest)
    monkeypatch.setattr(kernels, "build", build_kernel)
    return calls


def test_one_userland_for_all_kernels(built: list[str]) -> None:
    other = KernelConfig("6.12", "trixie", KERNEL.package)
    image = guestimage.ensure()
    first, second = kernels.ensure(KERNEL, image), kernels.ensure(other, guestimage.ensure())
    assert built == ["guest", "6.1", "6.12"]
    assert (first.release, second.release) == ("6.1.0-cloud", "6.12.0-cloud")
    assert first.directory != second.directory
    assert first.digest != second.digest
    assert kernels.find(KERNEL) == first == kernels.ensure(KERNEL, image)
    assert image.host_key == "this is host_key.pub"


def test_the_key_is_that_of_the_inputs() -> None:
    key = kernels.current_key(KERNEL)
    assert kernels.current_key(KERNEL) == key
    assert kernels.current_key(replace(KERNEL, name="other name")) == key
    assert kernels.current_key(replace(KERNEL, suite="trixie")) != key
    wanted = inputs.gather_kernel(KERNEL)
    assert replace(wanted, initrd_maker=wanted.initrd_maker + "\n").key != key
    assert replace(wanted, scripts={**wanted.scripts, "initrd_init.sh": ""}).key != key


def test_the_command_is_quoted_and_of_the_kernels_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_MIRROR", "http://mirror.example/debian")
    wanted = inputs.gather_kernel(replace(KERNEL, suite="trixie-backports"))
    command = kernels.build_command(tmp_path / "a user's cache", wanted)
    assert "--variant=custom" in command
    assert f"--customize-hook=download /out/vmlinuz '{tmp_path}/a user'\"'\"'s cache/vmlinuz'" in command
    assert command[-3:] == ["trixie-backports", "-", "deb http://mirror.example/debian trixie-backports main"]


# The initrd.


def modules(path: Path, files: dict[str, bytes]) -> Path:
    """An archive of /lib/modules, as the build brings it out."""
    with tarfile.open(path, "w") as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(f"./6.1-x/{name}")
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path


TREE = {
    "modules.dep": (
        b"kernel/virtio_pci.ko: kernel/virtio.ko kernel/ring.ko\nkernel/virtio_blk.ko.xz: kernel/ring.ko\n"
        b"kernel/ring.ko:\nkernel/virtio.ko: kernel/ring.ko\nkernel/virtio-rng.ko:\nkernel/virtio_net.ko:\n"
    ),
    "modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
    "kernel/virtio_pci.ko": b"pci",
    "kernel/virtio.ko": b"virtio",
    "kernel/ring.ko": b"ring",
    "kernel/virtio_blk.ko.xz": lzma.compress(b"blk"),
    "kernel/virtio-rng.ko": b"rng",
    "kernel/virtio_net.ko": b"net",
}


def contents(archive: bytes) -> dict[str, bytes]:
    """The members of a cpio archive, by name."""
    data, members, at = gzip.decompress(archive), {}, 0
    while True:
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + (110 + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return members
        members[name] = data[start : start + fields[6]]
        at = start + (fields[6] + 3) // 4 * 4


def test_modules_come_in_the_order_of_loading(tmp_path: Path) -> None:
    made = contents(initrd.build(modules(tmp_path / "m.tar", TREE), "6.1-x", b"BUSYBOX", b"#!/bin/sh\n"))
    order = ["ring.ko", "virtio.ko", "virtio_pci.ko", "virtio_blk.ko", "virtio_net.ko", "virtio-rng.ko"]
    assert made["modules/list"].decode().split() == order
    assert made["modules/virtio_blk.ko"] == b"blk", "busybox's insmod reads no xz"
    assert made["bin/busybox"] == b"BUSYBOX"
    assert made["bin/findfs"] == b"busybox"
    assert made["init"] == b"#!/bin/sh\n"


def test_a_kernel_that_could_not_boot_is_refused(tmp_path: Path) -> None:
    tree = {**TREE, "modules.builtin": b""}
    with pytest.raises(BuildError, match="no module ext4"):
        initrd.build(modules(tmp_path / "m.tar", tree), "6.1-x", b"", b"")
    tree = {**TREE, "modules.dep": TREE["modules.dep"].replace(b".xz", b".zst"), "kernel/virtio_blk.ko.zst": b""}
    with pytest.raises(BuildError, match=r"virtio_blk\.ko\.zst is compressed"):
        initrd.build(modules(tmp_path / "n.tar", tree), "6.1-x", b"", b"")


def test_cpio_entry_is_newc() -> None:
    """cpio(5): six bytes of magic, thirteen fields of eight hexadecimal digits, name and data padded to four."""
    entry = initrd.cpio_entry("init", 0o100755, b"#!/bin/sh\n")
    assert entry[:6] == b"070701"
    assert len(entry) % 4 == 0
    fields = [int(entry[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
    assert fields[1] == 0o100755
    assert fields[6] == 10
    assert fields[11] == 5
    name_at = 6 + 8 * 13
    assert entry[name_at : name_at + 5] == b"init\0"
    data_at = (name_at + 5 + 3) // 4 * 4
    assert entry[data_at : data_at + 10] == b"#!/bin/sh\n"
