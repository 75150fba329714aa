from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from standins import POSIX_ONLY, make_program

from labkit.host.checks import computer, files, imagebuild, network, virtualisation
from labkit.host.image import guestimage, kernels
from labkit.host.image.building import mmdebstrap
from labkit.host.lab import config, paths, programs


@pytest.fixture
def only_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one directory in which programs are found."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(programs, "SYSTEM_DIRECTORIES", ())
    return directory


# The image build


@POSIX_ONLY
def test_what_the_build_lacks_is_named(only_bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(imagebuild.platform, "machine", lambda: "x86_64")
    for name in mmdebstrap.TOOLS:
        if name != "mmdebstrap":
            make_program(only_bin, name, "")
    assert imagebuild.image().what == "not built yet, and not installed: mmdebstrap"
    make_program(only_bin, "mmdebstrap", "")
    assert imagebuild.image().verdict == "ok"
    monkeypatch.setattr(mmdebstrap, "free_scratch", lambda: {Path("a"): 10**9, Path("b"): 2**20})
    assert "temporary space" in imagebuild.image().what


def test_an_image_that_is_there_needs_no_build(monkeypatch: pytest.MonkeyPatch, own_state: Path) -> None:
    monkeypatch.setattr(guestimage, "find", SimpleNamespace)
    monkeypatch.setattr(kernels, "find", lambda _config: SimpleNamespace())
    assert imagebuild.image().verdict == "ok"
    assert str(own_state / "cache") in imagebuild.image().what
    monkeypatch.setattr(kernels, "find", lambda _config: None)
    assert [path.parent.name for path in imagebuild.missing()] == ["kernels"]


def test_another_system_is_told_where_to_bring_the_image(monkeypatch: pytest.MonkeyPatch, own_state: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = imagebuild.image()
    assert found.verdict == "problem"
    assert str(own_state / "cache/images") in found.what


@pytest.mark.parametrize(
    ("table", "has"),
    [
        ("alice:100000:65536\n", True),
        ("root:1:1\n1000:100000:65536\n", True),
        ("alice:100000:1000\n", False),
        ("bob:100000:65536\n", False),
        ("# nonsense\n::\nalice:x:y\n", False),
    ],
)
def test_subordinate_ids(table: str, has: bool, tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text(table, encoding="ascii")
    assert imagebuild.has_range(tmp_path / "subuid", "alice", 1000) is has
    assert imagebuild.has_range(tmp_path / "missing", "alice", 1000) is False


@POSIX_ONLY
@pytest.mark.parametrize(("script", "said"), [("echo yes", None), ("exit 1", "this kernel gives ordinary users no")])
def test_an_ordinary_user_is_asked_of_mmdebstrap_itself(
    only_bin: Path, script: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for helper in ("newuidmap", "newgidmap"):
        make_program(only_bin, helper, "")
    make_program(only_bin, "mmdebstrap", f'[ "$1" = --unshare-helper ] && {script}')
    monkeypatch.setattr(imagebuild, "has_range", lambda *_: True)
    lacking = imagebuild._what_lacks("alice", 1000)
    assert (lacking is None) if said is None else (lacking is not None and lacking[0].startswith(said))


@POSIX_ONLY
def test_an_ordinary_user_without_the_mapping_programs(only_bin: Path) -> None:
    assert imagebuild._what_lacks("alice", 1000) == (
        "newuidmap is not installed",
        "Install uidmap (Debian, Ubuntu) or shadow-utils.",
    )


# Network


def test_an_accelerator_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ACCEL", "foo")
    finding = virtualisation.accelerator()
    assert finding.verdict == "problem"
    assert "tcg" in finding.remedy
    monkeypatch.setenv("LABKIT_ACCEL", "tcg")
    assert virtualisation.accelerator().verdict == "info"


def test_ports_of_the_loopback_device() -> None:
    assert network.ports().verdict == "ok"


def test_a_computer_that_forbids_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert network.ports().verdict == "problem"


def test_names_that_do_not_resolve_or_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> list[object]:
        time.sleep(1)
        return []

    monkeypatch.setattr(network, "PATIENCE", 0.05)
    monkeypatch.setattr(network.socket, "getaddrinfo", hang)
    started = time.monotonic()
    assert [network.localhost().verdict, network.host_name().verdict] == ["warning", "warning"]
    assert time.monotonic() - started < 0.9


PROXY = "http://user:secret@proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "verdict", "said"),
    [
        ({}, "ok", "none"),
        ({"http_proxy": PROXY, "https_proxy": PROXY, "no_proxy": "localhost,127.0.0.1"}, "info", "proxy.example:3128"),
        ({"http_proxy": PROXY, "https_proxy": PROXY}, "warning", "own addresses"),
        ({"https_proxy": PROXY}, "warning", "none for http,"),
        ({"http_proxy": PROXY}, "warning", "none for https"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own settings come in")
def test_proxies(environment: dict[str, str], verdict: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(network, "_apt_proxy", lambda: "")
    found = network.proxies()
    assert found.verdict == verdict
    assert said in found.what
    assert "secret" not in found.what + found.remedy


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@host:3128/", "http://host:3128"),
        ("host:3128", "host:3128"),
        ("http://[::1", "an address that cannot be read"),
        ("http://u:p@host:port", "an address that cannot be read"),
    ],
)
def test_a_proxys_password_is_not_shown(url: str, shown: str) -> None:
    assert network.without_password(url) == shown


# Files


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    (root / "labkit").mkdir(parents=True)
    monkeypatch.setattr(paths, "checkout", lambda: root)
    return root


def test_line_endings(checkout: Path) -> None:
    (checkout / "labkit/good.py").write_bytes(b"pass\n")
    (checkout / "labkit/binary").write_bytes(b"\0\r\n")
    (checkout / "README.md").write_bytes(b"not read by the guest\r\n")
    assert files.line_endings().verdict == "ok"
    (checkout / "labkit/bad.py").write_bytes(b"pass\r\n")
    found = files.line_endings()
    assert (found.verdict, "labkit/bad.py" in found.what) == ("warning", True)
    (checkout / "labkit/run").write_bytes(b"#!/bin/sh\r\n")
    assert files.line_endings().verdict == "problem"


@pytest.mark.parametrize(
    ("name", "said"), [("müller", "beyond ASCII"), ("john doe", "space"), ("a,b", "comma"), ("plain", "plain letters")]
)
def test_directory_names(name: str, said: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(checkout / name))
    assert said in files.directory_names().what


@POSIX_ONLY
@pytest.mark.parametrize(("directory", "verdict"), [("/var/tmp/labkit", "ok"), ("/var/tmp/" + "x" * 80, "warning")])
def test_a_socket_has_room_for_its_path(directory: str, verdict: str) -> None:
    found = files.socket_path(Path(directory))
    assert found
    assert found.verdict == verdict


def test_a_bad_lab_file_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.lab_file().verdict == "ok"
    (tmp_path / "lab.yaml").write_text("machines: [", encoding="utf-8")
    monkeypatch.setenv("LABKIT_LAB", str(tmp_path / "lab.yaml"))
    found = files.lab_file()
    assert (found.verdict, bool(found.remedy)) == ("problem", True)
    assert computer._default_machine_mib() == config.MachineConfig("x").memory_mib


# Vagrant


@POSIX_ONLY
def test_vagrant_and_its_providers(only_bin: Path) -> None:
    assert virtualisation.vagrant().verdict == "info"
    assert virtualisation.vagrant_providers() is None
    make_program(only_bin, "vagrant", "echo Vagrant 2.3.4")
    assert virtualisation.vagrant().verdict == "ok"
    found = virtualisation.vagrant_providers()
    assert found
    assert found.verdict == "warning"
    make_program(only_bin, "VBoxManage", "")
    assert virtualisation._providers().what == "virtualbox"
    make_program(only_bin, "vagrant", "exit 1")
    assert virtualisation.vagrant().verdict == "warning"
    assert virtualisation.vagrant_providers() is None


@POSIX_ONLY
def test_a_program_that_hangs_says_nothing(only_bin: Path) -> None:
    slow = make_program(only_bin, "slow", "exec /bin/sleep 5")
    assert programs.first_line([str(slow)], seconds=0.1) is None
