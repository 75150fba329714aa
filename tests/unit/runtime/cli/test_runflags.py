from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import UsageError
from labkit.runtime.cli import runflags, wordlists
from labkit.runtime.cli.flags import VerbCall, parse
from labkit.runtime.engine.record import mountflags
from labkit.runtime.engine.record.options import Options


def wanted(*words: str) -> Options:
    options, arguments = parse(runflags.OPTIONS, [*words, "busybox"], stop_at_first=True)
    return runflags.wanted(VerbCall(options, arguments, [*words, "busybox"]))


def test_what_was_not_given_is_empty() -> None:
    assert wanted() == Options("busybox")


def test_an_empty_entry_point_removes_the_images() -> None:
    assert wanted("--entrypoint", "").entrypoint == []
    assert wanted("--entrypoint", "/x").entrypoint == ["/x"]
    assert wanted().entrypoint is None


def test_private_is_how_it_is_but_for_the_users() -> None:
    assert wanted("--pid", "private").pid == ""
    assert wanted("--pid", "host").pid == "host"
    assert wanted("--userns", "private").userns == "private"
    with pytest.raises(UsageError, match="--uts container:x is not possible"):
        wanted("--uts", "container:x")
    with pytest.raises(UsageError, match="--pid container: is not possible"):
        wanted("--pid", "container:")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nofile=1024:2048", "RLIMIT_NOFILE=1024:2048"),
        ("core=0", "RLIMIT_CORE=0:0"),
        ("nproc=-1", f"RLIMIT_NPROC={(1 << 64) - 1}:{(1 << 64) - 1}"),
    ],
)
def test_limits_of_a_process(text: str, found: str) -> None:
    assert wordlists.ulimit(text) == found


@pytest.mark.parametrize("text", ["", "nofile", "nofile=", "nofile=x", "files=1", "nofile=2:1", "nofile=-2", "=1"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(UsageError):
        wordlists.ulimit(text)


def test_signals_by_name_and_number() -> None:
    for text in ("quit", "SIGQUIT", "3", "RTMIN+3"):
        assert wanted("--stop-signal", text).stop_signal == text  # as it was given: docker shows it so
    for text in ("SIG", "nope", "999"):
        with pytest.raises(UsageError, match="unknown signal"):
            wanted("--stop-signal", text)


def test_labels_and_variables_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("# no\n\n  a=1\nb\nc=x=y\n")
    assert wordlists.labels(["a=2", "d"], [str(file)]) == {"a": "2", "b": "", "c": "x=y", "d": ""}
    monkeypatch.setenv("b", "ours")
    assert wordlists.variables([str(file)]) == ["a=1", "b=ours", "c=x=y"]
    file.write_text("a b=1\n")
    with pytest.raises(UsageError, match=r"'a b' in .* is no variable's name"):
        wordlists.variables([str(file)])
    file.write_bytes(b"\xff\n")
    with pytest.raises(UsageError, match="cannot be read"):
        wordlists.labels([], [str(file)])


def mount(text: str) -> tuple[str, str, str, list[str]]:
    found = mountflags.parse_volume(text)
    return found["type"], found["source"], found["target"], found["options"]


def test_volumes_in_dockers_forms() -> None:
    assert mount("/a:/b") == ("bind", "/a", "/b", [])
    assert mount("data:/b:ro,rshared") == ("volume", "data", "/b", ["ro", "rshared"])
    assert mount("/data") == ("volume", "", "/data", [])
    assert mount("data:/a/../b/")[2] == "/b"
    assert mountflags.parse_volume("data:/b:nocopy")["fill"] is False
    assert mountflags.parse_volume("/a:/b")["make"] is True


@pytest.mark.parametrize(
    "text", ["", "data", "a:/b", ":/b", "/a:b", "/a:/", "/a:/b:xx", "/a:/b:ro:ro", "/a:/b:z", "../:/..", "data:/\0"]
)
def test_what_is_no_volume(text: str) -> None:
    with pytest.raises(UsageError):
        mountflags.parse_volume(text)


def test_mounts_by_keys() -> None:
    found = mountflags.parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave,bind-nonrecursive")
    assert (found["type"], found["options"], found["make"]) == ("bind", ["ro", "rslave", "norecursive"], False)
    found = mountflags.parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700")
    assert found["options"] == ["size=1048576", "mode=700"]
    assert mountflags.parse_mount("source=data,target=/b,volume-nocopy")["fill"] is False


@pytest.mark.parametrize(
    "text",
    [
        *("type=bind,source=a,target=/b", "type=bind,source=/a", "type=bind,source=/a,target=/b,colour=red"),
        *("type=tmpfs,source=/a,target=/b", "type=tmpfs,target=/b,tmpfs-size=big", "target=/b,readonly=perhaps"),
        *("type=bind,source=/a,target=/b,bind-propagation=up", "type=npipe,target=/b", "source=/a,target=/b"),
    ],
)
def test_what_is_no_mount(text: str) -> None:
    with pytest.raises(UsageError):
        mountflags.parse_mount(text)


def test_the_last_word_of_a_file_system_in_memory_counts() -> None:
    assert mountflags.parse_tmpfs("/t")["options"] == ["nosuid", "nodev", "noexec"]
    assert mountflags.parse_tmpfs("/t:exec,size=1m")["options"] == ["nosuid", "nodev", "exec", "size=1m"]
    for text in ("t", "/t:size", "/t:size=x", "/t:mode=9", "/t:uid=x", "/t:bind"):
        with pytest.raises(UsageError):
            mountflags.parse_tmpfs(text)


def test_two_mounts_on_one_place() -> None:
    with pytest.raises(UsageError, match="two mounts have the same place, /b"):
        mountflags.parse_all(["data:/b"], [], ["/b"])
