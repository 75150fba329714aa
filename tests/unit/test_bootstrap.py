"""bootstrap.py as a fresh computer meets it: run with programs of the test's own on PATH, in a copy of the checkout."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[2] / "bootstrap.py"

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 11), reason="bootstrap.py itself needs Python 3.11"),
]
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the package managers tried here are Linux's")


@pytest.fixture
def bootstrap() -> ModuleType:
    """The file as a module, made anew."""
    spec = importlib.util.spec_from_file_location("bootstrap", BOOTSTRAP)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing in it but what bootstrap.py reads."""
    root = tmp_path / "check out"
    root.mkdir()
    shutil.copy(BOOTSTRAP, root)
    (root / "pyproject.toml").write_text("[project]\n")
    return root


def run(checkout: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / "bootstrap.py", *words],
        env={**os.environ, **({"PATH": path} if path is not None else {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def program(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{text}\n")
    (directory / name).chmod(0o755)


# Old Pythons


def test_an_old_python_can_read_the_file() -> None:
    """3.6's grammar as far as ast knows it (it keeps that of 3.7 and newer apart), and no future that 3.6 has not."""
    tree = ast.parse(BOOTSTRAP.read_bytes(), feature_version=(3, 7))
    futures = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert futures == []
    first = next(node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.If)))
    assert isinstance(first, ast.Import)
    assert first.names[0].name == "sys"


def test_an_old_python_says_what_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit) as caught:
        exec(compile(BOOTSTRAP.read_bytes(), BOOTSTRAP, "exec"), {"__name__": "__main__"})
    assert caught.value.code == 6
    assert "needs Python 3.11 or newer, and this is 3.10 " in capsys.readouterr().err


# What would be done


def test_help_has_examples(checkout: Path) -> None:
    shown = run(checkout, "--help")
    assert shown.returncode == 0
    assert "python3 bootstrap.py --yes up scenario redis-nat" in shown.stdout


def test_a_dry_run_changes_nothing(checkout: Path) -> None:
    before = sorted(path.name for path in checkout.iterdir())
    shown = run(checkout, "--dry-run", "--no-packages", "up", "scenario", "redis-nat")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert "-m venv" in lines[0]
    assert "--editable '.[host]'" in lines[1]
    assert lines[2].endswith("up scenario redis-nat")
    assert "'" in lines[2], "the checkout's path has a space in it"
    assert sorted(path.name for path in checkout.iterdir()) == before


def test_the_tests_need_the_development_tools(checkout: Path) -> None:
    assert "'.[dev,host]'" in run(checkout, "--dry-run", "--no-packages", "test").stdout


def test_tasks_keep_their_own_options(bootstrap: ModuleType) -> None:
    options = bootstrap.parse(["--yes", "scenario", "redis-nat", "--step", "--yes", "--help"])
    assert options.tasks == ["scenario", "redis-nat", "--step", "--yes", "--help"]


@pytest.mark.parametrize(
    ("tasks", "needed"),
    [(["status"], False), (["lint", "doctor", "--json"], False), (["lint", "up"], True), (["scenario", "x"], True)],
)
def test_which_tasks_need_a_machine(bootstrap: ModuleType, tasks: list[str], needed: bool) -> None:
    assert bootstrap.needs_machine(tasks) is needed


# System packages


@only_linux
@pytest.mark.parametrize("manager", ["apt-get", "dnf", "pacman", "zypper"])
def test_each_package_manager_gets_a_command(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manager: str
) -> None:
    program(tmp_path / "bin", manager, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = bootstrap.package_manager()
    assert found.program == manager
    missing = [need for need in bootstrap.NEEDS if not need.command]
    (command,) = bootstrap.package_commands(found, missing)
    assert command[0] == manager
    assert any("qemu" in word for word in command)
    assert len(command) == len(set(command))


def test_every_manager_of_the_packages_is_known(bootstrap: ModuleType) -> None:
    known = {manager.program for managers in bootstrap.MANAGERS.values() for manager in managers}
    for need in bootstrap.NEEDS:
        assert set(need.packages) <= known
    # Away from Linux the machine runs, too; only the image is not built there.
    for system in ("darwin", "win32"):
        for manager in bootstrap.MANAGERS[system]:
            qemu = [need for need in bootstrap.NEEDS if "qemu" in need.what]
            assert all(manager.program in need.packages for need in qemu)


def test_winget_takes_one_package_at_a_time(bootstrap: ModuleType) -> None:
    (winget,) = (one for one in bootstrap.MANAGERS["win32"] if one.program == "winget")
    needs = [need for need in bootstrap.NEEDS if "winget" in need.packages]
    assert [command[-2] for command in bootstrap.package_commands(winget, needs)] == ["--id"]


@pytest.fixture
def bare(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """A computer with one package manager, which this test writes, and one missing program, ``wanted``.

    The function that is returned installs, and gives the commands that the package manager was called with.
    """
    directory = tmp_path / "bin"
    calls = tmp_path / "calls"
    wanted = bootstrap.Need("wanted", lambda: (directory / "wanted").exists(), {"apt-get": "wanted-package"})
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(bootstrap, "IS_ROOT", True)
    monkeypatch.setattr(bootstrap, "CHECKOUT", tmp_path)
    monkeypatch.setitem(bootstrap.MANAGERS, sys.platform, list(bootstrap.MANAGERS["linux"]))

    def install(script: str, yes: bool = True) -> list[str]:
        program(directory, "apt-get", f'echo "$@" >> {calls}\n{script}')
        bootstrap.install_packages([wanted], yes)
        return calls.read_text().splitlines()

    return install


INSTALL = "install --yes --no-install-recommends wanted-package"


@only_linux
def test_packages_are_installed_and_looked_for_again(bare: Callable[..., list[str]], tmp_path: Path) -> None:
    calls = bare(f"touch {tmp_path}/bin/wanted")
    assert calls[-1] == INSTALL


@only_linux
def test_an_install_that_fails_is_repeated_after_renewing_the_lists(
    bare: Callable[..., list[str]], tmp_path: Path
) -> None:
    calls = bare(
        f'test "$1" = update && touch {tmp_path}/fresh; test -e {tmp_path}/fresh && touch {tmp_path}/bin/wanted'
    )
    assert calls[-2:] == ["update", INSTALL]


@only_linux
def test_an_install_that_brings_nothing_is_said(bare: Callable[..., list[str]], bootstrap: ModuleType) -> None:
    with pytest.raises(bootstrap.Failure, match="Still missing: wanted") as caught:
        bare("exit 0")
    assert caught.value.status == 6


@only_linux
def test_nobody_to_ask_means_that_nothing_is_run(
    bare: Callable[..., list[str]], bootstrap: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(bootstrap.Failure, match="Nothing was installed"):
        bare("exit 0", yes=False)
    assert not (tmp_path / "calls").exists()
    assert f"apt-get {INSTALL}" in capsys.readouterr().err


@only_linux
def test_without_the_rights_it_says_what_to_type(
    bare: Callable[..., list[str]], bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "IS_ROOT", False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # No sudo there.
    with pytest.raises(bootstrap.Failure, match="Only root") as caught:
        bare("exit 0")
    assert caught.value.status == 6
    assert caught.value.hint == f"As root, type:\n    apt-get {INSTALL}"
    assert not (tmp_path / "calls").exists()


@only_linux
def test_sudo_is_used_where_it_lets_us(
    bare: Callable[..., list[str]], bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "IS_ROOT", False)
    program(tmp_path / "bin", "sudo", f'echo "sudo $@" >> {tmp_path}/calls; test "$1" = -n || exec "$@"')
    calls = bare(f"touch {tmp_path}/bin/wanted")
    assert calls[0] == "sudo -n true"
    assert calls[-2:] == [f"sudo apt-get {INSTALL}", INSTALL]


# The virtual environment


def stamped(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Point the module at ``root``, with an environment that looks complete."""
    monkeypatch.setattr(bootstrap, "CHECKOUT", root)
    monkeypatch.setattr(bootstrap, "VENV", root / ".venv")
    monkeypatch.setattr(bootstrap, "STAMP", root / ".venv/stamp.json")
    for name in ("python", "invoke"):
        file = bootstrap.venv_program(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (root / ".venv/stamp.json").write_text(json.dumps(bootstrap.stamp_of({"host"})))


def test_a_second_run_has_nothing_to_do(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    stamped(bootstrap, monkeypatch, checkout)
    assert bootstrap.environment_commands(["up"])[0] == []


def test_a_changed_pyproject_is_installed_again(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    stamped(bootstrap, monkeypatch, checkout)
    (checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    commands, stamp = bootstrap.environment_commands(["up"])
    assert commands[-1][1][-1] == ".[host]"
    assert stamp["extras"] == ["host"]


def test_an_extra_that_was_there_stays(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    stamped(bootstrap, monkeypatch, checkout)
    assert bootstrap.environment_commands(["test"])[0][-1][1][-1] == ".[dev,host]"
    bootstrap.STAMP.write_text(json.dumps(bootstrap.stamp_of({"host", "dev"})))
    assert bootstrap.environment_commands(["up"])[0] == []


def test_a_moved_checkout_and_a_damaged_stamp_are_installed_again(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    stamped(bootstrap, monkeypatch, checkout)
    bootstrap.STAMP.write_text("{")
    assert bootstrap.environment_commands(["up"])[0]
    bootstrap.STAMP.write_text(json.dumps({**bootstrap.stamp_of({"host"}), "checkout": "elsewhere"}))
    assert bootstrap.environment_commands(["up"])[0]
    bootstrap.STAMP.write_text(json.dumps(bootstrap.stamp_of({"host"})))
    assert not bootstrap.environment_commands(["up"])[0]


def test_an_environment_without_pip_is_made_anew(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    stamped(bootstrap, monkeypatch, checkout)
    bootstrap.STAMP.unlink()
    titles = [title for title, _ in bootstrap.environment_commands(["up"])[0]]
    assert titles == ["Making the virtual environment", "Installing Python packages"]


def test_a_failed_installation_is_shown_and_leaves_no_stamp(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamped(bootstrap, monkeypatch, checkout)
    monkeypatch.setattr(
        bootstrap,
        "environment_commands",
        lambda tasks: ([("Installing", [sys.executable, "-c", "print('no such package'); raise SystemExit(3)"])], {}),
    )
    with pytest.raises(SystemExit) as caught:
        bootstrap.main(["--no-packages", "up"])
    assert caught.value.code == bootstrap.FAILED
    shown = capsys.readouterr().err
    assert "no such package" in shown
    assert "status 3" in shown
    assert not bootstrap.STAMP.exists()


def test_ctrl_c_is_one_line(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(tasks: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "make_environment", interrupt)
    with pytest.raises(SystemExit) as caught:
        bootstrap.main(["--no-packages", "up"])
    assert caught.value.code == 130
    assert capsys.readouterr().err.strip().count("\n") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="invoke.exe there is a program that a test cannot write")
def test_the_tasks_status_is_the_status(checkout: Path) -> None:
    """An environment whose invoke is the test's own: bootstrap.py becomes it, in the checkout, arguments untouched."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (checkout / ".venv/bin/invoke").write_text("import os, sys\nprint(os.getcwd(), sys.argv[1:])\nsys.exit(42)\n")
    spec = importlib.util.spec_from_file_location("copy", checkout / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.STAMP.write_text(json.dumps(module.stamp_of({"host"})))
    done = run(checkout, "--no-packages", "scenario", "x", "--step")
    assert (done.returncode, done.stderr) == (42, "")
    assert done.stdout == f"{checkout} ['scenario', 'x', '--step']\n"
