from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshserver import ShellServer

from labkit.errors import BuildError, InfrastructureError
from labkit.host.payload import deployed
from labkit.host.payload.deployed import Place
from labkit.host.wire.deploy import deploy

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the receiving side is Linux code; it locks with flock")

RECEIVER = Path(deployed.__file__).with_name("receiver.py")


@pytest.fixture
def server() -> Iterator[ShellServer]:
    with ShellServer() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Place:
    helper = f"{tmp_path}/sbin/mount.aufs"
    return Place(prefix=f"{tmp_path}/opt/labkit", bin=f"{tmp_path}/bin", helper=helper, archives=())


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small payload, which a test may change."""
    contents = {
        "bin/labkit": b"#!/bin/sh\necho program\n",
        "lib/labkit/__init__.py": b"value = 1\n",
        "lib/labkit/runtime/oci/__init__.py": b"",
        "lib/labkit/runtime/oci/init.py": b"import labkit\n",
    }
    monkeypatch.setattr(deployed, "everything", lambda: contents)
    return contents


def tree(target: Place) -> dict[str, bytes]:
    """All that is below the prefix, the lock and byte code excepted."""
    root = Path(target.prefix)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".codes"} and path.name != ".deploy.lock"
    }


def expected(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, "manifest.json": deployed.encode_manifest(deployed.manifest(files))}


def test_the_real_payload_can_be_imported_there(server: ShellServer, target: Place) -> None:
    done = deploy(server.connection(), target)
    assert done.sent == len(deployed.everything())
    program = "import sys; sys.path.insert(0, sys.argv[1]); import labkit, pyroute2.netlink; print(labkit.__file__)"
    lib = f"{target.prefix}/lib"
    command = [sys.executable, "-IS", "-B", "-v", "-c", program, lib]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"{lib}/labkit/__init__.py"
    assert "code object from" not in "\n".join(
        line for line in run.stderr.splitlines() if lib in line and ".pyc" not in line
    )


def test_a_first_deploy_puts_files_link_and_manifest(
    server: ShellServer, target: Place, files: dict[str, bytes]
) -> None:
    done = deploy(server.connection(), target)
    assert (done.sent, done.deleted) == (4, 0)
    assert tree(target) == expected(files)
    assert subprocess.check_output([f"{target.bin}/labkit"], text=True) == "program\n"
    assert Path(importlib.util.cache_from_source(f"{target.prefix}/lib/labkit/runtime/oci/init.py")).is_file()


def test_mount_finds_its_helper_and_a_distributions_own_stays(
    server: ShellServer, target: Place, files: dict[str, bytes]
) -> None:
    files["sbin/mount.aufs"] = b"#!/bin/sh\necho ours\n"
    deploy(server.connection(), target)
    assert subprocess.check_output([target.helper], text=True) == "ours\n"
    other = Path(target.helper)
    other.unlink()
    other.write_text("#!/bin/sh\n")
    files["lib/labkit/__init__.py"] = b"value = 2\n"
    deploy(server.connection(), target)
    assert not other.is_symlink()


def test_nothing_changed_is_one_command_and_nothing_sent(
    server: ShellServer, target: Place, files: dict[str, bytes]
) -> None:
    connection = server.connection()
    deploy(connection, target)
    server.commands.clear()
    done = deploy(connection, target)
    assert (done.sent, done.deleted, done.loaded) == (0, 0, False)
    assert str(done).startswith("Nothing to send")
    assert len(server.commands) == 1


def test_only_what_changed_is_sent(server: ShellServer, target: Place, files: dict[str, bytes]) -> None:
    deploy(server.connection(), target)
    untouched = Path(target.prefix, "lib/labkit/runtime/oci/init.py").stat().st_ino
    files["lib/labkit/__init__.py"] = b"value = 2\n"
    done = deploy(server.connection(), target)
    assert done.sent == 1
    assert tree(target) == expected(files)
    assert Path(target.prefix, "lib/labkit/runtime/oci/init.py").stat().st_ino == untouched
    # Of equal size and within the same second: byte code that did not come along would still say 1.
    program = f"import sys; sys.path.insert(0, '{target.prefix}/lib'); import labkit; print(labkit.value)"
    assert subprocess.check_output([sys.executable, "-IS", "-c", program], text=True) == "2\n"


def test_what_is_gone_is_deleted_with_its_directory(
    server: ShellServer, target: Place, files: dict[str, bytes]
) -> None:
    deploy(server.connection(), target)
    del files["lib/labkit/runtime/oci/__init__.py"]
    del files["lib/labkit/runtime/oci/init.py"]
    assert deploy(server.connection(), target).deleted == 2
    assert tree(target) == expected(files)
    assert not Path(target.prefix, "lib/labkit/runtime/oci").exists()


def test_a_file_that_cannot_be_compiled_changes_nothing(
    server: ShellServer, target: Place, files: dict[str, bytes]
) -> None:
    deploy(server.connection(), target)
    before = tree(target)
    files["lib/labkit/__init__.py"] = b"value = \n"
    files["lib/labkit/new.py"] = b"fine = 1\n"
    with pytest.raises(BuildError, match=r"lib/labkit/__init__\.py.*line 1"):
        deploy(server.connection(), target)
    assert tree(target) == before


@pytest.mark.parametrize("cut_after", [0, 10, 300, 900])
def test_a_cut_connection_changes_nothing_and_can_be_repeated(
    server: ShellServer, target: Place, files: dict[str, bytes], cut_after: int
) -> None:
    deploy(server.connection(), target)
    before = tree(target)
    files["lib/labkit/__init__.py"] = b"# " + hashlib.sha256(b"hard to compress").hexdigest().encode() * 3 + b"\n"
    server.cut_after = cut_after
    with pytest.raises(InfrastructureError, match="connection to the machine was lost"):
        deploy(server.connection(), target)
    assert server.cut_after is None, "the cut must have happened"
    assert tree(target) == before
    assert deploy(server.connection(), target).sent == 1
    assert tree(target) == expected(files)


def test_an_interruption_while_files_are_put_in_place_is_mended_by_the_next(
    server: ShellServer, target: Place, files: dict[str, bytes]
) -> None:
    deploy(server.connection(), target)
    original = dict(files)
    files["lib/labkit/__init__.py"] = b"value = 2\n"
    files["lib/obstacle"] = b"a file where a directory is"
    obstacle = Path(target.prefix, "lib/obstacle/x")
    obstacle.mkdir(parents=True)
    with pytest.raises(InfrastructureError, match="status 1"):
        deploy(server.connection(), target)
    assert not Path(target.prefix, ".incoming").exists()
    obstacle.rmdir()
    obstacle.parent.rmdir()
    # Back to what the machine had before: a manifest that still vouched for it would have nothing sent.
    files.clear()
    files.update(original)
    deploy(server.connection(), target)
    assert tree(target) == expected(original)


def test_what_was_deleted_by_hand_comes_back(server: ShellServer, target: Place, files: dict[str, bytes]) -> None:
    deploy(server.connection(), target)
    for path in ("bin/labkit", "lib/labkit/runtime/oci/init.py"):
        Path(target.prefix, path).unlink()
    files["lib/labkit/__init__.py"] = b"value = 2\n"
    assert deploy(server.connection(), target).sent == 3
    assert tree(target) == expected(files)


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    """The receiver notices that the manifest is not the one that was compared with."""
    prefix = tmp_path / "labkit"
    prefix.mkdir()
    (prefix / "manifest.json").write_text("{}\n")
    header = {"prefix": str(prefix), "base": "another", "delete": [], "manifest": {}, "bin": str(tmp_path / "bin")}
    header |= {"size": 0, "digest": hashlib.sha256(b"").hexdigest()}
    run = subprocess.run([sys.executable, RECEIVER], input=json.dumps(header).encode() + b"\n", check=False)
    assert run.returncode == 75
    assert (prefix / "manifest.json").read_text() == "{}\n"
    assert not (tmp_path / "bin").exists()


def test_a_damaged_manifest_is_made_anew(server: ShellServer, target: Place, files: dict[str, bytes]) -> None:
    deploy(server.connection(), target)
    Path(target.prefix, "manifest.json").write_bytes(b'{"lib/la')
    assert deploy(server.connection(), target).sent == len(files)
    assert tree(target) == expected(files)


def test_base_images_are_loaded_once_and_again_when_the_way_to_keep_them_changed(
    server: ShellServer, tmp_path: Path, files: dict[str, bytes]
) -> None:
    (tmp_path / "busybox.tar").touch()
    archives = (f"{tmp_path}/busybox.tar", f"{tmp_path}/there-is-none.tar")
    target = Place(f"{tmp_path}/labkit", f"{tmp_path}/bin", "", archives)
    files["bin/labkit"] = f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'.encode()
    calls = tmp_path / "calls"
    assert deploy(server.connection(), target).loaded
    assert not deploy(server.connection(), target).loaded
    assert calls.read_text() == f"load -q -i {archives[0]}\n"
    files["lib/labkit/__init__.py"] = b"value = 3\n"
    assert not deploy(server.connection(), target).loaded
    files["lib/labkit/runtime/images/imagestore.py"] = b"layout = 2\n"
    assert deploy(server.connection(), target).loaded
    assert calls.read_text().count("load -q") == 2


def test_a_load_that_fails_is_said_and_tried_again(
    server: ShellServer, tmp_path: Path, files: dict[str, bytes]
) -> None:
    (tmp_path / "busybox.tar").touch()
    target = Place(f"{tmp_path}/labkit", f"{tmp_path}/bin", "", (f"{tmp_path}/busybox.tar",))
    files["bin/labkit"] = f"#!/bin/sh\ntest -e {tmp_path}/ready || {{ echo no space >&2; exit 1; }}\n".encode()
    with pytest.raises(InfrastructureError, match="no space"):
        deploy(server.connection(), target)
    (tmp_path / "ready").touch()
    done = deploy(server.connection(), target)
    assert (done.sent, done.loaded) == (0, True)
