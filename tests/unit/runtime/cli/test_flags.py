"""labkit-oci's command line: runc's own way to read one, and every command's help."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from labkit.errors import UsageError

if sys.platform == "win32":
    pytest.skip("the guest side is Linux's", allow_module_level=True)

from labkit.runtime.cli.flags import Option, parse
from labkit.runtime.cli.oci import commands, spec, update
from labkit.runtime.cli.oci.main import COMMANDS, REFUSED, main
from labkit.runtime.kernel import signals

KNOWN = (
    Option(("bundle", "b"), "", "DIR", ""),
    Option(("force", "f"), ""),
    Option(("preserve-fds",), "", "N", 0),
    Option(("env", "e"), "", "X", many=True),
)


@pytest.mark.parametrize(
    "words",
    [
        ["--bundle", "/x", "--force", "id"],
        ["-b", "/x", "-f", "id"],
        ["-bundle=/x", "-force=true", "id"],
        ["id", "--bundle=/x", "--force"],
        ["--force", "--bundle", "/x", "--", "id"],
    ],
)
def test_options_are_read_as_runc_reads_them(words: list[str]) -> None:
    options, arguments = parse(KNOWN, words, stop_at_first=False)
    assert (options.bundle, options.force, options.preserve_fds, arguments) == ("/x", True, 0, ["id"])


def test_a_programs_options_are_its_own() -> None:
    options, arguments = parse(KNOWN, ["-e", "A=1", "-e", "B=2", "id", "ls", "-f", "--", "x"], stop_at_first=True)
    assert (options.env, options.force, arguments) == (["A=1", "B=2"], False, ["id", "ls", "-f", "--", "x"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--nonsense"], "flag provided but not defined: -nonsense"),
        (["--bundle"], "flag needs an argument: -bundle"),
        (["--preserve-fds", "many"], 'invalid value "many" for flag -preserve-fds'),
        (["--force=maybe"], 'invalid boolean value "maybe" for -force'),
    ],
)
def test_what_cannot_be_meant_is_named(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(KNOWN, words, stop_at_first=False)
    assert sentence in caught.value.message


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"NAME:\n   labkit-oci {name} - ")
    assert f"USAGE:\n   labkit-oci {name}" in text
    assert f"EXAMPLES:\n   labkit-oci {name}" in text
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_a_refused_command_says_so_in_its_help(name: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, word]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"NAME:\n   labkit-oci {name} - refused")
    assert main([name, "--image-path", "/x", "a"]) == 1
    assert f"labkit-oci does not support {name}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nonsense"], ["nonsense", "-h"], ["help", "nonsense"]])
def test_a_command_that_is_none(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 3
    assert "No help topic for 'nonsense'" in capsys.readouterr().err


def test_the_version_names_the_specification(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert "spec: 1.2.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--systemd-cgroup", "list"], "cannot use systemd's cgroup driver"),
        (["--cgroup-manager", "systemd", "list"], "cannot use systemd's cgroup driver"),
        (["--log-format", "xml", "list"], "invalid log-format: xml"),
        (["create"], 'labkit-oci: "create" requires exactly 1 argument(s)'),
        (["state", "a", "b"], 'labkit-oci: "state" requires exactly 1 argument(s)'),
        (["state", "a/b"], "invalid container ID format: a/b"),
        (["state", ""], "container id cannot be empty"),
        (["state", "nobody"], "container does not exist"),
        (["kill", "nobody", "9"], "container does not exist"),
        (["delete", "nobody"], "container does not exist"),
        (["create", "--bundle", "/nowhere", "a"], "chdir /nowhere: no such file or directory"),
    ],
)
def test_an_error_is_a_line_of_the_log_and_status_1(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    assert main(["--root", str(tmp_path / "root"), "--log", str(log), "--log-format", "json", *words]) == 1
    if "xml" not in words:
        (line,) = log.read_text().splitlines()
        entry = json.loads(line)
        assert sorted(entry) == ["level", "msg", "time"]
        assert (entry["level"], sentence in entry["msg"]) == ("error", True)
    assert sentence in capsys.readouterr().err.replace('\\"', '"')


def test_deleting_by_force_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert main(["--root", str(tmp_path), "delete", "--force", "nobody"]) == 0


@pytest.mark.parametrize("word", ["9", "KILL", "SIGKILL", "sigkill", "kill"])
def test_signals_by_name_and_number(word: str) -> None:
    assert signals.number(word) == 9


@pytest.mark.parametrize(
    ("word", "number"),
    [("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmin+30", 64), ("RTMAX", 64), ("RTMAX-2", 62), ("32", 32), ("IO", 29)],
)
def test_real_time_signals_are_counted_from_both_ends(word: str, number: int) -> None:
    assert signals.number(word) == number


def test_only_who_asks_for_it_gets_the_signal_0() -> None:
    assert signals.number("0", least=0) == 0


@pytest.mark.parametrize(
    "word", ["", "0", "65", "-9", "SIGNOTHING", "SIG_DFL", "__class__", "RTMIN+99", "RTMIN-1", "TERM+1", "RTMAX-31"]
)
def test_what_is_no_signal_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="unknown signal"):
        signals.number(word)


@pytest.mark.parametrize("text", ["", "5", "-1s", "0s"])
def test_what_is_no_interval_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--interval", text, "redis"]) == 1
    assert "invalid duration" in capsys.readouterr().err


def test_only_the_containers_lines_of_ps_are_shown() -> None:
    lines = ["UID   PID  PPID CMD", "root    1     0 init", "root   17     1 redis --x 1"]
    assert commands.rows_of({17}, lines) == [lines[0], lines[2]]
    with pytest.raises(UsageError, match="PID field"):
        commands.rows_of({1}, ["CMD"])


def test_features_and_spec_are_what_the_parser_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from labkit.runtime.oci import spec as oci_spec

    assert main(["features"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["ociVersionMax"] == "1.2.0"
    assert {"ro", "rbind", "tmpcopyup", "rro", "noatime"} <= set(shown["mountOptions"])
    for rootless in (False, True):
        parsed = oci_spec.parse(spec.document(rootless), str(tmp_path))
        assert parsed.process.terminal
        assert ("user" in parsed.namespaces) is rootless


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("64m", 64 << 20),
        ("1G", 1 << 30),
        ("-1", -1),
        ("12", 12),
        ("2mb", 2 << 20),
        ("64 MiB", 64 << 20),
        ("1.5G", 3 << 29),
    ],
)
def test_memory_has_units(text: str, number: int) -> None:
    assert update._number("memory", text) == number


@pytest.mark.parametrize(
    ("name", "text"),
    [("memory", "m"), ("memory", "1x"), ("pids-limit", "1k"), ("memory", "--1"), ("cpu-share", "-1")],
)
def test_what_is_no_number_is_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError, match="invalid value"):
        update._number(name, text)
