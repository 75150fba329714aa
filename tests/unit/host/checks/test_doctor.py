from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.host.checks import computer, doctor, imagebuild, virtualisation
from labkit.host.checks.finding import Finding
from labkit.host.lab import programs
from labkit.host.machines import accelerator as proofs
from labkit.host.machines import qemucommand


@pytest.fixture
def only_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one directory in which programs are found."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(programs, "SYSTEM_DIRECTORIES", ())
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


def test_what_a_user_can_mend_is_no_bug_of_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab.yaml").write_text("machines: [", encoding="utf-8")
    monkeypatch.setenv("LABKIT_LAB", str(tmp_path / "lab.yaml"))
    findings = {each.name: each for each in doctor.examine()}
    assert findings["lab.yaml"].verdict == "problem"
    assert "lab.yaml" in findings["image"].what
    assert not [each for each in findings.values() if "bug" in each.remedy]


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


@pytest.mark.parametrize(
    ("total", "available", "verdict"),
    [(8 * 2**30, 4 * 2**30, "ok"), (8 * 2**30, 2**20, "warning"), (2**30, 2**30, "problem")],
)
def test_memory_is_compared_with_the_default_machine(
    total: int, available: int, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SimpleNamespace(total=total, available=available)
    monkeypatch.setattr(computer.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(computer, "_default_machine_mib", lambda: 1024)
    assert computer.memory().verdict == verdict


@pytest.mark.parametrize(("free", "verdict"), [(10 * 2**30, "ok"), (700_000_000, "warning"), (2**20, "problem")])
def test_room_on_the_disk(free: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = computer.shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(computer.shutil, "disk_usage", lambda _: usage._replace(free=free))
    images = computer.disk_for_images()
    assert images.verdict == verdict


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    assert computer.disk_for_images().verdict == "problem"


def test_examining_makes_no_directory(own_state: Path) -> None:
    computer.disk_for_images()
    imagebuild.image()
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
    ("text", "version"), [("7.2.22", (7, 2, 22)), ("10.0", (10, 0)), ("8.0.50-dirty", (8, 0, 50)), ("what?", ())]
)
def test_version_numbers(text: str, version: tuple[int, ...]) -> None:
    assert virtualisation.numbers(text) == version


def found_qemu(version: str) -> qemucommand.Qemu:
    return qemucommand.Qemu("/bin/qemu", "/bin/qemu-img", version)


@pytest.mark.parametrize(("version", "verdict"), [("9.1.0", "ok"), ("2.11.1", "warning"), ("nonsense", "warning")])
def test_qemu(version: str, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemucommand, "find", lambda: found_qemu(version))
    assert virtualisation.qemu().verdict == verdict


def test_a_computer_without_qemu(only_bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemucommand.find.cache_clear()
    monkeypatch.delenv("LABKIT_QEMU", raising=False)
    found = virtualisation.qemu()
    assert (found.verdict, "not installed" in found.what) == ("problem", True)
    monkeypatch.setattr(proofs, "candidates", lambda: ["kvm", "tcg"])
    assert "without QEMU it cannot be tried" in virtualisation.accelerator().what


WORKS = proofs.Verdict(True, "its guest boots in 0.9 s")
HANGS = proofs.Verdict(False, "its guest hangs: not a word in 4 s")


@pytest.mark.parametrize(
    ("candidates", "verdicts", "verdict", "said"),
    [
        (["kvm", "tcg"], {"kvm": WORKS}, "ok", "kvm, proved by a boot: its guest boots in 0.9 s"),
        (["kvm", "tcg"], {"kvm": HANGS}, "warning", "tcg (software emulation): kvm was tried and its guest hangs"),
        (["kvm", "tcg"], {}, "info", "the first `invoke up` tries it"),
        (["tcg"], {}, "warning", "tcg (software emulation): it is not there"),
    ],
)
def test_accelerator(
    candidates: list[str],
    verdicts: dict[str, proofs.Verdict],
    verdict: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qemucommand, "find", lambda: found_qemu("9.1.0"))
    monkeypatch.setattr(proofs, "candidates", lambda: candidates)
    monkeypatch.setattr(proofs, "remembered", lambda name, _qemu: verdicts.get(name))
    monkeypatch.setattr(virtualisation, "what_is_missing", lambda: ("it is not there", "Get it."))
    found = virtualisation.accelerator()
    assert found.verdict == verdict
    assert said in found.what


def test_on_another_processor_nothing_is_to_be_done_about_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_ACCEL", raising=False)
    monkeypatch.setattr(proofs, "candidates", lambda: ["tcg"])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(virtualisation.platform, "machine", lambda: "aarch64")
    found = virtualisation.accelerator()
    assert "on another processor" in found.what
    assert found.remedy == "Nothing needs to be done: everything works, slower."


def test_an_accelerator_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ACCEL", "tcg")
    assert virtualisation.accelerator().what == "tcg, because LABKIT_ACCEL says so"


@pytest.mark.parametrize("system", ["win32", "darwin", "plan9"])
def test_the_other_systems_are_examined_without_an_accident(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the real thing, but what can be had of it here: no branch for another system raises."""
    monkeypatch.setattr(sys, "platform", system)
    for look in (
        virtualisation.accelerator,
        imagebuild.image,
        imagebuild.rights,
        virtualisation._providers,
        computer.memory,
    ):
        assert look().what
