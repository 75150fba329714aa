from __future__ import annotations

import json
import os
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from labkit.host import config, doctor, paths
from labkit.host.checks import computer, files, finding, imagebuild, network, vagrant, virtualisation
from labkit.host.checks.finding import Finding

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="the stand-in programs are shell scripts")


def make_program(directory: Path, name: str, script: str) -> Path:
    """A stand-in program, made of a shell script."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


@pytest.fixture
def only_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one directory in which programs are found."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(finding, "SYSTEM_DIRECTORIES", ())
    return directory


# The doctor


def test_this_very_computer_is_examined_without_an_accident() -> None:
    findings = doctor.examine()
    assert len(findings) >= len(doctor.EXAMINATIONS)
    assert not [each for each in findings if "examination itself failed" in each.what]
    assert not [each for each in findings if each.verdict in ("warning", "problem") and not each.remedy]
    assert all(each.what for each in findings)


def test_an_examination_that_crashes_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> Finding:
        raise ZeroDivisionError("at the worst moment")

    monkeypatch.setattr(doctor, "EXAMINATIONS", {"bad": crash, "good": lambda: Finding("good", "ok", "fine")})
    bad, good = doctor.examine()
    assert (bad.name, bad.verdict) == ("bad", "warning")
    assert "ZeroDivisionError: at the worst moment" in bad.what
    assert good.verdict == "ok"


FINE = Finding("a", "ok", "fine [not markup]")
BAD = Finding("b", "problem", "gone", "Find it.")


@pytest.mark.parametrize(("findings", "status"), [([FINE], 0), ([Finding("c", "warning", "w", "r")], 0), ([BAD], 6)])
@pytest.mark.parametrize("as_json", [True, False])
def test_only_a_problem_is_a_failure(findings: list[Finding], status: int, as_json: bool) -> None:
    assert doctor.show(findings, as_json=as_json) == status


def test_json_is_a_list_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show([FINE, BAD], as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"name": "a", "verdict": "ok", "what": "fine [not markup]", "remedy": ""},
        {"name": "b", "verdict": "problem", "what": "gone", "remedy": "Find it."},
    ]


def test_piped_output_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show([FINE, BAD])
    assert capsys.readouterr().out.splitlines() == [
        "ok       a: fine [not markup]",
        "problem  b: gone",
        "         -> Find it.",
        "1 of 2 findings must be mended before the lab works.",
    ]


def test_a_terminal_sees_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert doctor.show([FINE, BAD]) == 6
    shown = capsys.readouterr().out
    assert "fine [not markup]" in shown
    assert "→" in shown
    assert " Find it." in shown


# The computer


@pytest.mark.parametrize(
    ("machine", "verdict"), [("x86_64", "ok"), ("AMD64", "ok"), ("arm64", "warning"), ("riscv64", "problem")]
)
def test_architecture(machine: str, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computer.platform, "machine", lambda: machine)
    assert computer.architecture().verdict == verdict


def test_meminfo_is_read_in_kib_and_may_lack_a_line() -> None:
    assert computer.parse_meminfo("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n") == (2**21, 2**20)
    assert computer.parse_meminfo("MemTotal:  2048 kB\n") == (2**21, None)
    assert computer.parse_meminfo("") == (None, None)


@pytest.mark.parametrize(
    ("total", "available", "verdict"),
    [(8 * 2**30, 4 * 2**30, "ok"), (8 * 2**30, None, "ok"), (8 * 2**30, 2**20, "warning"), (2**30, 2**30, "problem")],
)
def test_memory_is_compared_with_the_default_machine(
    total: int, available: int | None, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computer, "memory_bytes", lambda: (total, available))
    monkeypatch.setattr(computer, "_default_machine_mib", lambda: 1024)
    assert computer.memory().verdict == verdict


def test_a_system_that_does_not_tell_its_memory_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computer, "memory_bytes", lambda: (None, None))
    assert computer.memory().verdict == "info"


@pytest.mark.parametrize(("free", "verdict"), [(10 * 2**30, "ok"), (2 * 2**30, "warning"), (2**20, "problem")])
def test_room_on_the_disk(free: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = computer.shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(computer.shutil, "disk_usage", lambda _: usage._replace(free=free))
    images, _machines = computer.disk()
    assert images.verdict == verdict


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    assert computer.disk()[0].verdict == "problem"


def test_examining_makes_no_directory(own_state: Path) -> None:
    computer.disk()
    imagebuild.programs()
    assert list(own_state.iterdir()) == []


def test_a_terminal_that_cannot_show_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latin:
        encoding = "latin-1"

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdout", Latin())
    assert computer.terminal().verdict == "warning"


# QEMU and accelerators


@pytest.mark.parametrize(
    ("text", "version"),
    [("QEMU emulator version 7.2.9 (Debian 1:7.2)", (7, 2, 9)), ("version 10.0", (10, 0)), ("what?", None)],
)
def test_qemu_version(text: str, version: tuple[int, ...] | None) -> None:
    assert virtualisation.parse_version(text) == version


@POSIX_ONLY
@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        ("echo QEMU emulator version 9.1.0", "ok"),
        ("echo QEMU emulator version 2.11.1", "warning"),
        ("exit 1", "problem"),
        (None, "problem"),
    ],
)
def test_qemu(only_bin: Path, script: str | None, verdict: str) -> None:
    if script is not None:
        make_program(only_bin, virtualisation.EMULATOR, script)
    emulator, disk_tool = virtualisation.qemu()
    assert emulator.verdict == verdict
    assert disk_tool.verdict == "problem"


@pytest.mark.parametrize(
    ("proved", "candidate", "verdict", "said"),
    [
        ("kvm", "kvm", "ok", "kvm, proved by a boot"),
        ("tcg", "kvm", "warning", "tried with kvm did not boot"),
        ("tcg", None, "warning", "software emulation"),
        (None, "kvm", "info", "not proved yet"),
        (None, None, "warning", "none: it is not there"),
    ],
)
def test_accelerator(
    proved: str | None, candidate: str | None, verdict: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtualisation, "remembered", lambda: proved)
    seen = f"/dev/{candidate} opens" if candidate else "it is not there"
    monkeypatch.setattr(virtualisation, "candidate_here", lambda: (candidate, seen))
    found = virtualisation.accelerator()
    assert found.verdict == verdict
    assert said in found.what


def test_an_accelerator_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ACCEL", "tcg")
    monkeypatch.setattr(virtualisation, "remembered", lambda: "kvm")
    assert virtualisation.accelerator().what.startswith("tcg, because LABKIT_ACCEL says so")


def test_a_kvm_that_is_not_there_or_cannot_be_opened(tmp_path: Path) -> None:
    assert virtualisation._kvm(tmp_path / "kvm") == (None, f"there is no {tmp_path / 'kvm'}")
    assert virtualisation._kvm(tmp_path)[0] is None  # a directory cannot be opened for writing
    (tmp_path / "kvm").touch()
    assert virtualisation._kvm(tmp_path / "kvm")[0] == "kvm"


@pytest.mark.parametrize("system", ["win32", "darwin", "plan9"])
def test_the_other_systems_are_examined_without_an_accident(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the real thing, but what can be had of it here: no branch for another system raises."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(virtualisation, "remembered", lambda: None)
    for look in (virtualisation.accelerator, imagebuild.programs, imagebuild.rights, vagrant._providers):
        assert look().what
    if system != "win32":  # ctypes.windll is only there
        assert computer.memory().what


# The image build


@POSIX_ONLY
@pytest.mark.skipif(sys.platform != "linux", reason="the image is built on Linux")
def test_what_the_build_lacks_is_named(only_bin: Path) -> None:
    make_program(only_bin, "mke2fs", "")
    assert imagebuild.programs().what == "not installed: mmdebstrap"
    make_program(only_bin, "mmdebstrap", "")
    assert imagebuild.programs().verdict == "ok"


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
def test_an_ordinary_user_without_the_mapping_programs(only_bin: Path) -> None:
    assert imagebuild._what_lacks("alice", 1000) == (
        "newuidmap is not installed",
        "Install uidmap (Debian, Ubuntu) or shadow-utils.",
    )


# Network


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
    assert [each.verdict for each in network.names()] == ["warning", "warning"]
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
    assert said in files.directory_names()[0].what


@POSIX_ONLY
@pytest.mark.parametrize(("directory", "verdict"), [("/var/tmp/labkit", "ok"), ("/var/tmp/" + "x" * 80, "warning")])
def test_a_socket_has_room_for_its_path(directory: str, verdict: str) -> None:
    assert [found.verdict for found in files._socket_path(Path(directory))] == [verdict]


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
    assert [each.verdict for each in vagrant.vagrant()] == ["info"]
    make_program(only_bin, "vagrant", "echo Vagrant 2.3.4")
    assert [each.verdict for each in vagrant.vagrant()] == ["ok", "warning"]
    make_program(only_bin, "VBoxManage", "")
    assert vagrant.vagrant()[1].what == "virtualbox"
    make_program(only_bin, "vagrant", "exit 1")
    assert [each.verdict for each in vagrant.vagrant()] == ["warning"]


@POSIX_ONLY
def test_a_program_that_hangs_says_nothing(only_bin: Path) -> None:
    slow = make_program(only_bin, "slow", "exec /bin/sleep 5")
    assert finding.first_line([str(slow)], seconds=0.1) is None
