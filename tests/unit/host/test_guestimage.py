"""The guest image's cache: found by its inputs, verified, built once, never half."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

from labkit.errors import BuildError, MissingToolError, UsageError
from labkit.host import guestimage
from labkit.host.config import KernelConfig
from labkit.host.image import build as building
from labkit.host.image import inputs, keys, sources
from labkit.host.image.guestfiles import guest_files
from labkit.host.resources import make_initrd

KERNEL = KernelConfig("6.1", "bookworm", "linux-image-cloud-amd64")

Build = Callable[[inputs.Inputs, Path, Path], None]


def write_image(directory: Path) -> None:
    """What a build leaves, with other contents."""
    for name in guestimage.FILES:
        (directory / name).write_text(f"this is {name}\n", encoding="utf-8")
    (directory / "facts.json").write_text('{"kernel_release": "6.1.0-1-cloud-amd64", "packages": {}}', encoding="utf-8")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories in which an image was built, by a stand-in for the minute of mmdebstrap."""
    calls: list[Path] = []

    def build(wanted: inputs.Inputs, directory: Path, log_file: Path) -> None:
        calls.append(directory)
        time.sleep(0.05)
        write_image(directory)

    monkeypatch.setattr(building, "build", build)
    return calls


@pytest.fixture
def image(builds: list[Path]) -> guestimage.GuestImage:
    return guestimage.ensure(KERNEL)


def test_an_image_is_built_once_and_found_again(builds: list[Path]) -> None:
    assert guestimage.find(guestimage.key_for(KERNEL)) is None
    image = guestimage.ensure(KERNEL)
    assert image == guestimage.ensure(KERNEL) == guestimage.find(guestimage.key_for(KERNEL))
    assert len(builds) == 1
    assert not builds[0].exists(), "the partial directory got its final name"
    assert image.directory == guestimage.images_dir() / image.key_hash
    assert image.host_key == "this is host_key.pub"
    assert image.kernel_release == "6.1.0-1-cloud-amd64"
    assert image.disk_digest == hashlib.sha256(b"this is disk.qcow2\n").hexdigest()


@pytest.mark.parametrize("name", guestimage.FILES)
def test_a_damaged_image_is_built_again(image: guestimage.GuestImage, builds: list[Path], name: str) -> None:
    path = image.directory / name
    changed = path.read_bytes().replace(b"s", b"z")
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))  # the file system's clock may be too coarse to show that it was touched
    assert guestimage.find(image.key_hash) is None
    assert guestimage.ensure(KERNEL).directory == image.directory
    assert len(builds) == 2
    assert path.read_bytes() != changed


@pytest.mark.parametrize("damage", ["missing", "shorter", "no manifest", "manifest is no JSON", "manifest is a list"])
def test_an_incomplete_image_is_not_found(image: guestimage.GuestImage, damage: str) -> None:
    manifest = image.directory / guestimage.MANIFEST
    if damage == "missing":
        image.disk.unlink()
    elif damage == "shorter":
        image.disk.write_bytes(b"this")
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("[]" if "list" in damage else "{", encoding="utf-8")
    assert guestimage.find(image.key_hash) is None
    assert guestimage.ensure(KERNEL).disk.read_bytes() == b"this is disk.qcow2\n"


def test_a_copied_image_is_read_once(image: guestimage.GuestImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a USB stick: the contents are right, the times are new."""
    for path in image.directory.iterdir():
        os.utime(path, ns=(1, 1))
    assert guestimage.find(image.key_hash) == image
    monkeypatch.setattr(guestimage, "_digest", lambda path: pytest.fail("it was read again"))
    assert guestimage.find(image.key_hash) == image


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BuildError("no"), OSError(28, "No space left on device")])
def test_a_failed_build_leaves_nothing(
    builds: list[Path], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    complete = building.build

    def fails(wanted: inputs.Inputs, directory: Path, log_file: Path) -> None:
        (directory / "disk.qcow2").write_bytes(b"half")
        raise error

    monkeypatch.setattr(building, "build", fails)
    with pytest.raises((KeyboardInterrupt, BuildError)):
        guestimage.ensure(KERNEL)
    assert [path.name for path in guestimage.images_dir().iterdir() if path.is_dir()] == []
    monkeypatch.setattr(building, "build", complete)
    assert guestimage.ensure(KERNEL).disk.exists()


def test_the_remains_of_a_killed_build_are_deleted(builds: list[Path]) -> None:
    key = guestimage.key_for(KERNEL)
    remains = guestimage.images_dir() / f"{key}-abcdefgh.partial"
    others = guestimage.images_dir() / "0123456789abcdef-abcdefgh.partial"
    for directory in (remains, others):
        directory.mkdir(parents=True)
        (directory / "disk.qcow2").write_bytes(b"half")
    guestimage.ensure(KERNEL)
    assert not remains.exists()
    assert others.exists(), "that may be the build of another checkout, at work now"


def test_two_at_once_build_one(builds: list[Path]) -> None:
    found: list[guestimage.GuestImage] = []
    threads = [threading.Thread(target=lambda: found.append(guestimage.ensure(KERNEL))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(builds) == 1
    assert len(found) == 4


def test_no_space_is_said_before_anything_is_begun(builds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guestimage, "SPACE_NEEDED", shutil.disk_usage("/").total * 1000)
    with pytest.raises(BuildError, match=r"needs \d+ MB .* MB are free"):
        guestimage.ensure(KERNEL)
    assert builds == []


def test_the_key_is_that_of_the_inputs() -> None:
    key = guestimage.key_for(KERNEL)
    assert guestimage.key_for(KERNEL) == key
    assert guestimage.key_for(KernelConfig("other name", KERNEL.suite, KERNEL.package)) == key
    assert guestimage.key_for(KernelConfig("6.12", "trixie", KERNEL.package)) != key
    wanted = inputs.gather(KERNEL)
    edited = {**wanted.scripts, "finish_guest.py": wanted.scripts["finish_guest.py"] + "\n"}
    assert inputs.Inputs(KERNEL, edited, wanted.payload).key != key
    assert inputs.Inputs(KERNEL, wanted.scripts, {**wanted.payload, "lib/new.py": b""}).key != key


def test_scripts_have_no_carriage_returns() -> None:
    """A checkout on Windows may have them, a shell in the guest must not."""
    for name in inputs.SCRIPTS:
        assert "\r" not in inputs.script(name)


def test_keys_are_what_paramiko_reads() -> None:
    pair = keys.generate()
    loaded = paramiko.Ed25519Key.from_private_key(io.StringIO(pair.private.decode()))
    assert pair.public == f"ssh-ed25519 {loaded.get_base64()}"
    assert keys.generate() != pair


def test_the_guest_lets_in_our_key_only() -> None:
    files = guest_files("ssh-ed25519 CLIENT", b"PRIVATE", "ssh-ed25519 HOST", "0" * 32)
    assert files["/root/.ssh/authorized_keys"] == b"ssh-ed25519 CLIENT\n"
    assert files["/etc/ssh/ssh_host_ed25519_key"] == b"PRIVATE"
    configuration = files["/etc/ssh/sshd_config.d/labkit.conf"].decode()
    assert "PasswordAuthentication no" in configuration
    assert "PermitRootLogin prohibit-password" in configuration


# The build itself, as far as it goes without mmdebstrap. It runs for real in tests/e2e.


@pytest.mark.skipif(sys.platform != "linux", reason="the command is made on Linux only")
def test_the_command_quotes_what_hooks_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KEYRING", tmp_path)
    directory = tmp_path / "a user's cache"
    command = building.mmdebstrap_command(directory, inputs.gather(KERNEL))
    assert f"--customize-hook=download /labkit-out/initrd '{tmp_path}/a user'\"'\"'s cache/initrd'" in command
    assert "--variant=essential" in command
    assert command.index("-") == command.index("bookworm") + 1


def test_other_systems_are_told_where_to_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MissingToolError, match="only be built on Linux") as caught:
        building.build(inputs.gather(KERNEL), tmp_path, tmp_path / "log")
    assert "copy" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another sentence comes first")
def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_search_path", lambda: str(tmp_path))
    with pytest.raises(MissingToolError, match="mmdebstrap, e2fsprogs, qemu-utils"):
        building.build(inputs.gather(KERNEL), tmp_path, tmp_path / "log")


def test_missing_keys_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KEYRING", tmp_path / "none")
    with pytest.raises(MissingToolError) as caught:
        sources.keyring()
    assert "debian-archive-keyring" in caught.value.hint


def test_the_mirror_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_MIRROR", "http://mirror.example/debian")
    assert sources.sources("bookworm") == ["deb http://mirror.example/debian bookworm main"]
    monkeypatch.setenv("LABKIT_MIRROR", "mirror example")
    with pytest.raises(UsageError, match="no address"):
        sources.sources("bookworm")


def test_a_host_of_the_same_suite_lends_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [("http://a.example/debian/", suite) for suite in ("bookworm", "bookworm-security", "trixie")]
    monkeypatch.setattr(sources, "_host_sources", lambda: known)
    assert sources.sources("bookworm") == [
        "deb http://a.example/debian/ bookworm main",
        "deb http://a.example/debian/ bookworm-security main",
    ]
    assert sources.sources("bullseye") == [], "mmdebstrap's default"


def test_no_temporary_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(building, "SPACE_NEEDED", shutil.disk_usage("/").total * 1000)
    with pytest.raises(BuildError, match=r"takes .* GB in a temporary directory"), building.scratch_directory():
        pytest.fail("there is no such space")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_scratch_directories_of_killed_builds_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    dead = tmp_path / f"labkit-build-{os.getuid()}-999999999-abc"
    alive = tmp_path / f"labkit-build-{os.getuid()}-{os.getpid()}-abc"
    for directory in (dead, alive):
        (directory / "mmdebstrap.xyz").mkdir(parents=True)
    with building.scratch_directory() as scratch:
        assert scratch.stat().st_mode & 0o7777 == 0o1777, "mmdebstrap's namespace has to write there"
        (scratch / "file").touch()
    assert list(tmp_path.iterdir()) == [alive]


def test_progress_has_one_note_per_phase() -> None:
    lines = [
        "I: automatically chosen mode: unshare",
        "I: running apt-get update...",
        "Get:1 http://a.example/debian bookworm InRelease [151 kB]",
        "Get:2 http://a.example/debian bookworm/main amd64 Packages [8786 kB]",
        "Get:1 http://a.example/debian bookworm/main amd64 gcc-12-base amd64 12.2.0-14 [37.5 kB]",
        "Get:2 http://a.example/debian bookworm/main amd64 libc6 amd64 2.36 [2757 kB]",
        "I: extracting archives...",
        "I: installing essential packages...",
        "I: installing remaining packages inside the chroot...",
        "Get:3 http://a.example/debian bookworm/main amd64 tcc amd64 0.9.27 [293 kB]",
        "I: kernel packages: linux-image-6.1.0-56-cloud-amd64",
        "I: running --customize-hook in shell: sh -c 'chroot \"$1\" python3 /labkit-build/finish_guest.py' exec /x",
        "I: running --customize-hook in shell: sh -c '# Make the disk of the guest from the finished root",
        "I: removing tempdir /var/tmp/x...",
    ]
    progress = building.Progress()
    notes = [note for line in lines if (note := progress.note(line))]
    assert notes == [text for _, text in building.Progress.PHASES]


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "Get:1 x\nE: Failed to fetch http://a.example\nE: mmdebstrap failed to run\n",
            "Failed to fetch http://a.example",
        ),
        ("tar: x: Cannot write: No space left on device\nE: mmdebstrap failed to run\n", "no space left"),
        ("strange\n", "mmdebstrap failed"),
    ],
)
def test_a_failure_says_what_was_said(tmp_path: Path, log: str, sentence: str) -> None:
    (tmp_path / "log").write_text(log, encoding="utf-8")
    error = building._failure(tmp_path / "log")
    assert sentence in error.message
    assert str(tmp_path / "log") in error.hint


def test_files_belong_to_root_in_the_archive(tmp_path: Path) -> None:
    archive = building._tar({"/etc/hostname": b"labkit\n"})
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar
        assert (member.name, member.uid, member.mode) == ("etc/hostname", 0, 0o644)


def test_the_client_key_is_private(tmp_path: Path) -> None:
    building._write_private(tmp_path / "key", b"secret")
    assert (tmp_path / "key").read_bytes() == b"secret"
    if os.name == "posix":
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_cpio_entry_is_newc() -> None:
    """cpio(5): six bytes of magic, thirteen fields of eight hexadecimal digits, name and data padded to four."""
    entry = make_initrd.cpio_entry("init", 0o100755, b"#!/bin/sh\n")
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


def test_manifest_names_every_file(image: guestimage.GuestImage) -> None:
    manifest = json.loads((image.directory / guestimage.MANIFEST).read_text(encoding="utf-8"))
    assert set(manifest["files"]) == set(guestimage.FILES)
    assert manifest["key"] == image.key_hash
