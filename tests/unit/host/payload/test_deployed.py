from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit.errors import MissingToolError
from labkit.host.lab import paths
from labkit.host.payload import deployed


def test_the_runtime_code_is_labkit_without_its_host_side() -> None:
    files = deployed.runtime_code()
    assert "lib/labkit/__init__.py" in files
    assert "lib/labkit/errors.py" in files
    assert not [path for path in files if path.startswith("lib/labkit/host")]
    assert not [path for path in files if path.endswith(".pyc") or "__pycache__" in path]


def test_the_guest_side_can_be_read_by_the_oldest_python_that_it_promises() -> None:
    for path, contents in deployed.runtime_code().items():
        if path.endswith(".py"):
            ast.parse(contents, path, feature_version=(3, 9))


def test_what_is_vendored_is_source_and_licence() -> None:
    files = deployed.vendored()
    assert "lib/pyroute2/netlink/__init__.py" in files
    assert any("licenses/" in path for path in files)
    assert all(path.endswith(".py") or "licenses/" in path for path in files)


def test_line_ends_are_the_guests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "labkit"
    (package / "host").mkdir(parents=True)
    (package / "__init__.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    (package / "data.bin").write_bytes(b"\0\r\n")
    (package / "host" / "x.py").touch()
    (package / ".#lock.py").touch()
    (package / "old.py~").touch()
    monkeypatch.setattr(labkit, "__file__", str(package / "__init__.py"))
    files = deployed.runtime_code()
    assert files["lib/labkit/__init__.py"] == b"a = 1\nb = 2\n"
    assert files["lib/labkit/data.bin"] == b"\0\r\n"
    programs = {"bin/labkit", "bin/labkit-oci", "sbin/mount.aufs"}
    assert set(files) == programs | {"lib/labkit/__init__.py", "lib/labkit/data.bin"}


def test_manifests() -> None:
    files = {"b": b"2", "a": b"1"}
    digests = deployed.manifest(files)
    assert digests == {"a": hashlib.sha256(b"1").hexdigest(), "b": hashlib.sha256(b"2").hexdigest()}
    assert json.loads(deployed.encode_manifest(digests)) == digests
    assert deployed.encode_manifest(digests) == deployed.encode_manifest(dict(reversed(digests.items())))


def test_a_fresh_image_lacks_only_labkit_itself() -> None:
    image = deployed.image_files()
    known = json.loads(image["manifest.json"])
    wanted = deployed.manifest(deployed.everything())
    missing = {path for path, digest in wanted.items() if known.get(path) != digest}
    assert missing == set(deployed.runtime_code())
    assert set(known) == set(image) - {"manifest.json"}


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a program for Linux")
def test_the_launcher_finds_its_library_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "prefix/bin").mkdir(parents=True)
    library = tmp_path / "prefix/lib/labkit/runtime/std"
    library.mkdir(parents=True)
    launcher = tmp_path / "prefix/bin/labkit"
    launcher.write_text(deployed.LAUNCHER.format(module="labkit.runtime.cli"))
    for package in (library, library.parent, library.parent.parent):
        (package / "__init__.py").touch()
    shutil.copy(paths.checkout() / "labkit/runtime/std/quickstart.py", library)
    (library.parent / "cli.py").write_text("import sys\ndef main():\n    print(sys.argv[1:])\n    return 7\n")
    (tmp_path / "link").symlink_to(launcher)
    # The first line names the guest's Python; here it is run by this one.
    poisoned = {**os.environ, "PYTHONPATH": str(tmp_path / "poison")}
    (tmp_path / "poison/labkit").mkdir(parents=True)
    (tmp_path / "poison/labkit/__init__.py").write_text("raise SystemExit('poisoned')")
    run = subprocess.run(
        [sys.executable, "-IS", tmp_path / "link", "ps"], env=poisoned, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (7, "['ps']\n")
    assert deployed.LAUNCHER.startswith("#!/usr/bin/python3 -IS\n")


def test_every_launcher_starts_a_module_that_is_there() -> None:
    files = deployed.runtime_code()
    for path, module in deployed.PROGRAMS.items():
        assert f"from {module} import main" in files[path].decode()
        names = {f"lib/{module.replace('.', '/')}{end}" for end in (".py", "/__init__.py")}
        assert names & set(files)


def test_without_pyroute2_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match="pyroute2"):
        deployed.vendored()
