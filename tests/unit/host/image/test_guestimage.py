"""The guest image: what it is made from, and its build as far as it goes without mmdebstrap."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from labkit.errors import BuildError, MissingToolError, UsageError
from labkit.host.image import guestimage
from labkit.host.image.building import inputs, keys, mmdebstrap
from labkit.host.image.building.guestfiles import guest_files
from labkit.host.lab import programs
from labkit.host.payload import deployed


def test_the_key_is_that_of_the_inputs() -> None:
    key = guestimage.current_key()
    assert guestimage.current_key() == key
    wanted = inputs.gather()
    edited = {**wanted.scripts, "finish_guest.py": wanted.scripts["finish_guest.py"] + "\n"}
    assert replace(wanted, scripts=edited).key != key
    assert replace(wanted, payload={**wanted.payload, "lib/new.py": b""}).key != key


def test_scripts_have_no_carriage_returns() -> None:
    """A checkout on Windows may have them, a shell in the guest must not."""
    for name in (*inputs.SCRIPTS, *inputs.KERNEL_SCRIPTS):
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
def test_the_command_quotes_what_hooks_split(tmp_path: Path) -> None:
    directory = tmp_path / "a user's cache"
    command = guestimage.build_command(directory, inputs.gather())
    assert f"--customize-hook=download /labkit-out/facts.json '{tmp_path}/a user'\"'\"'s cache/facts.json'" in command
    assert "--variant=essential" in command
    assert command.index("-") == command.index("bookworm") + 1


def test_other_systems_are_told_where_to_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MissingToolError, match="only be built on Linux") as caught:
        guestimage.build(inputs.gather(), tmp_path, tmp_path / "log")
    assert "copy" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another sentence comes first")
def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    with pytest.raises(MissingToolError, match="mmdebstrap, e2fsprogs, qemu-utils, kmod"):
        guestimage.build(inputs.gather(), tmp_path, tmp_path / "log")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another sentence comes first")
def test_missing_keys_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: name)
    monkeypatch.setattr(mmdebstrap, "KEYRING", tmp_path / "none")
    with pytest.raises(MissingToolError) as caught:
        guestimage.build(inputs.gather(), tmp_path, tmp_path / "log")
    assert "debian-archive-keyring" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_mirror_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_MIRROR", "http://mirror.example/debian")
    assert mmdebstrap.sources("bookworm") == ["deb http://mirror.example/debian bookworm main"]
    monkeypatch.setenv("LABKIT_MIRROR", "mirror example")
    with pytest.raises(UsageError, match="no address"):
        mmdebstrap.sources("bookworm")


def test_a_host_of_the_same_suite_lends_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [("http://a.example/debian/", suite) for suite in ("bookworm", "bookworm-security", "trixie")]
    monkeypatch.setattr(mmdebstrap, "_host_sources", lambda: known)
    assert mmdebstrap.sources("bookworm") == [
        "deb http://a.example/debian/ bookworm main",
        "deb http://a.example/debian/ bookworm-security main",
    ]
    # Another suite comes from the same addresses. (Backports have no security archive.)
    assert mmdebstrap.sources("bullseye") == [
        "deb http://a.example/debian/ bullseye main",
        "deb http://a.example/debian/ bullseye-security main",
    ]
    assert mmdebstrap.sources("trixie-backports") == ["deb http://a.example/debian/ trixie-backports main"]
    monkeypatch.setattr(mmdebstrap, "_host_sources", list)
    assert mmdebstrap.sources("bookworm") == [], "mmdebstrap's default"


def test_no_temporary_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(mmdebstrap, "SPACE_NEEDED", shutil.disk_usage("/").total * 1000)
    with pytest.raises(BuildError, match=r"takes .* GB in a temporary directory"), mmdebstrap.scratch_directory():
        pytest.fail("there is no such space")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_scratch_directories_of_killed_builds_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    dead = tmp_path / f"labkit-build-{os.getuid()}-999999999-abc"
    alive = tmp_path / f"labkit-build-{os.getuid()}-{os.getpid()}-abc"
    for directory in (dead, alive):
        (directory / "mmdebstrap.xyz").mkdir(parents=True)
    with mmdebstrap.scratch_directory() as scratch:
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
        "I: running --customize-hook in shell: sh -c 'chroot \"$1\" python3 /labkit-build/finish_guest.py' exec /x",
        "I: running --customize-hook in shell: sh -c '# Make the disk of the guest from the finished root",
        "I: removing tempdir /var/tmp/x...",
    ]
    note_of = mmdebstrap.noting(guestimage.PHASES)
    notes = [note for line in lines if (note := note_of(line))]
    assert notes == [text for _, text in guestimage.PHASES]


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
    error = mmdebstrap._failure(tmp_path / "log", "Building")
    assert sentence in error.message
    assert str(tmp_path / "log") in error.hint


def test_files_belong_to_root_in_the_archive(tmp_path: Path) -> None:
    archive = deployed.pack({"/etc/hostname": b"labkit\n"})
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar
        assert (member.name, member.uid, member.mode) == ("etc/hostname", 0, 0o644)


def test_the_client_key_is_private(tmp_path: Path) -> None:
    keys.write_private(tmp_path / "key", b"secret")
    assert (tmp_path / "key").read_bytes() == b"secret"
    if os.name == "posix":
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
