from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import KernelError
from labkit.runtime.kernel import rootdir

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="descriptors have paths on Linux only")


@pytest.fixture(params=["openat2", "walk"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A root file system full of traps, looked at by the kernel's own call, and as on a kernel that lacks it."""
    if request.param == "walk":
        monkeypatch.setattr(rootdir, "_openat2", lambda root, path: None)
    inside = tmp_path / "root"
    (inside / "real/deep").mkdir(parents=True)
    (inside / "file").write_text("x")
    (tmp_path / "outside").mkdir()
    (inside / "absolute").symlink_to("/real")
    (inside / "up").symlink_to("../../../../outside")
    (inside / "host").symlink_to(str(tmp_path / "outside"))
    (inside / "chain").symlink_to("absolute/deep")
    (inside / "dangling").symlink_to("/new/place")
    (inside / "a").symlink_to("b")
    (inside / "b").symlink_to("a")
    return str(inside)


def _where(root: str, call: Callable[[str, str], int], path: str) -> str:
    descriptor = call(root, path)
    try:
        return rootdir.path_inside(root, descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/", "/"),
        ("/real/./deep/../deep", "/real/deep"),
        ("/absolute", "/real"),
        ("/chain", "/real/deep"),
        ("/chain/..", "/real"),
        ("/../../../real", "/real"),
        ("/file", "/file"),
    ],
)
def test_what_is_there_is_found_as_the_container_sees_it(root: str, path: str, inside: str) -> None:
    assert _where(root, rootdir.find, path) == inside


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/new/deeper", "/new/deeper"),
        ("/up/x", "/outside/x"),
        ("/dangling", "/new/place"),
        ("/absolute/more", "/real/more"),
        ("/../x", "/x"),
    ],
)
def test_what_is_missing_is_made_inside(root: str, path: str, inside: str) -> None:
    assert _where(root, rootdir.directory, path) == inside
    assert os.path.isdir(root + inside)
    assert stat.S_IMODE(os.stat(root + inside).st_mode) == 0o755
    assert os.listdir(os.path.dirname(root) + "/outside") == []


def test_an_absolute_link_of_the_host_is_one_of_the_container(root: str) -> None:
    outside = os.path.dirname(root) + "/outside"
    assert _where(root, rootdir.file, "/host/f") == f"{outside}/f"
    assert os.path.isfile(f"{root}{outside}/f")
    assert os.listdir(outside) == []


def test_a_file_is_made_once_and_kept(root: str) -> None:
    assert _where(root, rootdir.file, "/etc/hosts") == "/etc/hosts"
    assert _where(root, rootdir.file, "/file") == "/file"
    assert Path(root, "file").read_text() == "x"


@pytest.mark.parametrize(
    ("path", "number"),
    [("/missing", errno.ENOENT), ("/file/below", errno.ENOTDIR), ("/a", errno.ELOOP)],
)
def test_what_cannot_be_found_says_why(root: str, path: str, number: int) -> None:
    with pytest.raises(KernelError) as caught:
        rootdir.find(root, path)
    assert caught.value.errno == number


def test_a_link_is_no_ordinary_directory(root: str) -> None:
    with pytest.raises(KernelError, match="not an ordinary directory"):
        rootdir.directory(root, "/absolute", follow=False)
    assert _where(root, lambda place, path: rootdir.directory(place, path, follow=False), "/fresh") == "/fresh"


def test_the_magic_links_of_proc_lead_nowhere(root: str) -> None:
    """Where a proc file system lies in the root (here it is the host's own) its links to descriptors are refused."""
    with pytest.raises(KernelError) as caught:
        rootdir.find("/", "/proc/self/fd/0")
    assert caught.value.errno == errno.ELOOP
    assert _where("/", rootdir.find, "/proc/self/status") == f"/proc/{os.getpid()}/status"


def test_no_descriptor_is_left_open(root: str) -> None:
    before = os.listdir("/proc/self/fd")
    for path in ("/chain", "/dangling", "/a", "/file/x", "/up/y"):
        try:
            os.close(rootdir.directory(root, path))
        except KernelError:
            continue
    assert os.listdir("/proc/self/fd") == before
