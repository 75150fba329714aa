"""What holds for every file of the checkout, whoever wrote it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from labkit.host.proof import linting

ROOT = Path(__file__).resolve().parents[2]

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
"""Lines. Where one grows beyond that, look for the second thing in it."""

POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
"""Modules that Python has on Linux and macOS and not on Windows."""

SENT_TO_THE_MACHINE = ("labkit/host/image/resources/", "labkit/host/payload/receiver.py")
"""Files of the host side that the host only reads: they run in the machine."""

GUEST_MAY_IMPORT = {*sys.stdlib_module_names, "pyroute2", "labkit"}


@cache
def tracked() -> tuple[Path, ...]:
    """The files that git knows; in a tree without git, all but what tools put there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        made = {".venv", ".git", "__pycache__", "build", "dist"}
        paths = [path for path in ROOT.rglob("*") if not made & set(path.relative_to(ROOT).parts)]
    return tuple(path for path in paths if path.is_file())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python_files(*below: str, tests: bool = False) -> list[Path]:
    """The Python files below these directories; those of tests only where asked for."""
    return [
        path
        for path in tracked()
        if path.suffix == ".py"
        and (tests or not path.name.startswith(("test_", "conftest")))
        and (not below or name(path).startswith(below))
    ]


def guest_files() -> list[Path]:
    return [path for path in python_files("labkit/") if not name(path).startswith("labkit/host/")]


def test_the_house_has_two_worlds_and_what_both_share() -> None:
    there = {Path(name(path)).parts[1] for path in tracked() if name(path).startswith("labkit/")}
    assert there == {"host", "runtime", "errors.py", "log.py", "__init__.py", "py.typed"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def test_there_is_something_to_look_at() -> None:
    assert len(python_files()) > 20
    assert len(guest_files()) > 5


def test_every_module_says_what_it_is_for() -> None:
    assert [name(path) for path in python_files() if not ast.get_docstring(tree(path))] == []


def test_annotations_are_never_evaluated() -> None:
    """``from __future__ import annotations`` lets new annotations run on old Pythons, and costs no start-up time."""

    def postpones(path: Path) -> bool:
        return any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree(path).body)

    def annotates(path: Path) -> bool:
        return any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in ast.walk(tree(path)))

    files = python_files("labkit/", "tests/", "tasks.py", tests=True)
    assert [name(path) for path in files if annotates(path) and not postpones(path)] == []


def test_modules_are_short() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(tests=True)}
    # bootstrap.py must work before anything can be imported, so it is one file whatever its length.
    too_long = {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE and path != "bootstrap.py"}
    assert too_long == {}


def test_functions_are_short() -> None:
    too_long = {
        f"{name(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in python_files(tests=True)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert too_long == {}


def text_files() -> Iterator[tuple[Path, bytes]]:
    for path in tracked():
        contents = path.read_bytes()
        if b"\0" not in contents and path.suffix not in {".bat", ".cmd", ".ps1"}:
            yield path, contents


@pytest.mark.skipif(sys.platform == "win32", reason="a checkout on Windows may have CRLF; doctor speaks of it there")
def test_lines_end_with_lf() -> None:
    assert [name(path) for path, contents in text_files() if b"\r\n" in contents] == []


def test_text_is_utf_8_and_ends_with_a_line_end() -> None:
    bad = []
    for path, contents in text_files():
        try:
            contents.decode("utf-8")
        except UnicodeDecodeError:
            bad.append(f"{name(path)} is not UTF-8")
        if contents and not contents.endswith(b"\n"):
            bad.append(f"{name(path)} does not end its last line")
    assert bad == []


# The guest side


def test_the_guest_side_is_python_3_9() -> None:
    """Grammar only; what the standard library lacks there is found by running it."""
    sent = python_files(*SENT_TO_THE_MACHINE)
    assert sent
    for path in [*guest_files(), *sent]:
        ast.parse(path.read_text(encoding="utf-8"), filename=name(path), feature_version=(3, 9))


def imported(module: ast.AST) -> Iterator[str]:
    """The top-level names that a module imports when it runs, wherever in it: not those for a type checker alone."""
    for_types = {
        id(inner)
        for node in ast.walk(module)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(module):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_pyroute2_has_one_door() -> None:
    at_once = [name(path) for path in guest_files() if "pyroute2" in imported(tree(path))]
    assert at_once == [], "reading.py imports it at first use, and says what is missing where it is"
    users = [name(path) for path in guest_files() if '("pyroute2' in path.read_text(encoding="utf-8")]
    assert users == ["labkit/runtime/network/reading.py"]


def test_the_guest_side_needs_nothing_but_pyroute2() -> None:
    foreign = {name(path): set(imported(tree(path))) - GUEST_MAY_IMPORT for path in guest_files()}
    assert {path: modules for path, modules in foreign.items() if modules} == {}


# The host side


def test_the_host_side_and_its_tests_import_no_posix_only_module_on_windows() -> None:
    """Such an import stands inside a function or an ``if sys.platform …``, never at a module's top level."""
    host_side = python_files("labkit/host/", "tasks.py", "bootstrap.py") + python_files("tests/unit/", tests=True)
    bad = {
        name(path): modules
        for path in host_side
        if (modules := {each for node in tree(path).body if is_import(node) for each in imported(node)} & POSIX_ONLY)
    }
    assert {path: modules for path, modules in bad.items() if not path.startswith(SENT_TO_THE_MACHINE)} == {}


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def test_import_contracts() -> None:
    (result,) = linting.run(["imports"])
    assert result.ok, result.output


# What others run


def run_tool(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_follow_githubs_schema() -> None:
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert workflows
    # The schema comes with the tool: nothing is downloaded.
    run_tool("check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, workflows))


def test_the_hooks_of_pre_commit_are_valid_and_local() -> None:
    run_tool("pre_commit", "validate-config", ".pre-commit-config.yaml")
    assert "repo: https" not in (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="the job's script is for Linux, and Windows has no such mode")
def test_the_job_script_is_a_program_that_bash_can_read() -> None:
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_environment_gets_no_labkit_that_would_be_found_before_the_installed_one() -> None:
    """A console script of pip's takes ten times as long to start as the launcher that is deployed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "scripts" not in project
    assert "entry-points" not in project


def test_git_converts_no_line_ends() -> None:
    names = ["labkit/log.py", "scenarios/redis-nat/README.md", ".ci/run", "lab.yaml"]
    asked = subprocess.run(
        ["git", "check-attr", "eol", "--", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        pytest.skip("this tree is not a git checkout")
    assert asked.stdout.splitlines() == [f"{each}: eol: lf" for each in names]
