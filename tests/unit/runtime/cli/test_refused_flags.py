"""Flags of ``run`` that docker refuses, too, before anything is done; and texts as editors on Windows write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import UsageError
from labkit.runtime.cli import runflags, verb_run, wordlists
from labkit.runtime.cli.main import read_call
from labkit.runtime.engine.config import rights
from labkit.runtime.engine.record import options
from labkit.runtime.engine.record.options import Options


def wanted(*words: str) -> Options:
    call = read_call("run", verb_run.run, ["run", *words, "busybox"])
    assert call is not None, "it was taken for a question for help"
    return runflags.wanted(call)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cpus", "1000"], "--cpus 1000 is not possible"),
        (["--cpuset-cpus", "9999"], "this machine has not all of the processors 9999"),
        (["--cpuset-cpus", "1-0"], "the range '1-0' runs backwards"),
        (["--cpuset-mems", "0,9999"], "this machine has not all of the memory nodes 0,9999"),
        (["-p", "[::1]:8081:80"], "labkit publishes ports on IPv4 only"),
        (["-p", "::1:8081:80"], "labkit publishes ports on IPv4 only"),
        (["--dns", "::1"], "IPv4"),
        (["-m", "5m"], "is not enough to start a program"),
        (["-m", "64m", "--memory-swap", "32m"], "--memory-swap is less than --memory"),
        (["--memory-reservation", "1m"], "--memory-reservation 1m is too little"),
        (["-m", "64m", "--memory-reservation", "65m"], "--memory-reservation is more than --memory"),
        (["--shm-size", "-1"], "is no size"),
        (["-p", "80-81:80"], "differ in length"),
        (["-p", "80:80", "-p", "127.0.0.1:80:81"], "is published twice"),
        (["--restart", "always", "--rm"], "exclude one another"),
        (["--restart", "always:3"], "cannot be meant"),
        (["--network", "host", "-p", "80:80"], "needs a bridge network"),
        (["--network", "container:x", "--hostname", "y"], "--hostname cannot be given"),
        (["--network", "container:x", "--dns", "1.1.1.1"], "--dns cannot be given"),
        (["--network", "container:x", "--add-host", "a:1.1.1.1"], "--add-host cannot be given"),
        (["--uts", "host", "--hostname", "y"], "--hostname"),
        (["--hostname", "a" * 64], "is no host name"),
        (["-h", "a b"], "'a b' is no host name"),
        (["--dns-search", "a b"], "names no domain"),
        (["--ulimit", "nofile=20:10"], "the soft limit is above the hard one"),
        (["--stop-timeout", "-2"], "--stop-timeout -2 is not possible"),
        (["--mount", "type=tmpfs,target=relative"], "must be an absolute path"),
        (["--tmpfs", "/t:size=-1"], "is no size"),
        (["-v", "/a:/b", "-v", "/c:/b"], "two mounts have the same place"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_with_a_hint(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        wanted(*words)
    assert sentence in refused.value.message
    assert refused.value.hint
    assert "\n" not in refused.value.message


def test_what_is_at_the_edge_is_taken() -> None:
    count = os.cpu_count() or 1
    found = wanted("--cpus", str(count), "--cpuset-cpus", "0", "-m", "6m", "--memory-swap", "6m", "-h", "a" * 63)
    assert found.resources["cpu"]["quota"] == count * 100000
    assert found.resources["memory"] == {"limit": 6 << 20, "swap": 6 << 20}


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfA=1\r\nB=x\xe2\x80\xa8y\r\n", b"A=1\nB=x\xe2\x80\xa8y"])
def test_a_file_of_variables_or_labels_may_come_from_windows(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(text)
    assert wordlists.variables([f"{tmp_path}/file"]) == ["A=1", "B=x\u2028y"]
    assert wordlists.labels([], [f"{tmp_path}/file"]) == {"A": "1", "B": "x\u2028y"}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_one_sentence(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("A=é\n", encoding=encoding)
    with pytest.raises(UsageError, match="UTF-16" if encoding == "utf-16" else "no text in UTF-8"):
        wordlists.variables([f"{tmp_path}/file"])


def test_a_profile_may_come_from_windows(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_bytes(b'\xef\xbb\xbf{"defaultAction": "SCMP_ACT_ALLOW"}\r\n')
    assert rights.security([f"seccomp={tmp_path}/profile.json"])[1] == {"defaultAction": "SCMP_ACT_ALLOW"}


def test_a_variable_that_we_have_not_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    monkeypatch.delenv("NOT_OURS", raising=False)
    assert options.variables(["OURS", "NOT_OURS", "A=2"]) == ["OURS=1", "NOT_OURS", "A=2"]
    variables = {"NOT_OURS": "the image's"}
    options.set_variable(variables, "NOT_OURS")
    assert variables == {}
