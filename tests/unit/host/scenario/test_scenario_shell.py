"""The lesson's shell against a real sshd."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import InfrastructureError
from labkit.host.machines import Machine
from labkit.host.scenario.shell import Shell, ShellLostError


@pytest.fixture
def shell(machine: Machine) -> Iterator[Shell]:
    shell = Shell(machine.connection())
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("command", "output", "status"),
    [
        ("echo hello", "hello\n", 0),
        ("printf 'no newline'", "no newline", 0),
        ("true", "", 0),
        ("echo out; echo err >&2; echo out", "out\nerr\nout\n", 0),
        ("(exit 3)", "", 3),
        ("cat", "", 0),
        ("cat <<'END'\n$HOME 'quoted' \\\nEND", "$HOME 'quoted' \\\n", 0),
        ("for i in 1 2\ndo echo $i\ndone", "1\n2\n", 0),
        ("echo 'it''s'; echo \"ünï €\"", "its\nünï €\n", 0),
        ("printf '\\377'", "\ufffd", 0),
        ("no-such-program-anywhere", "bash: line 1: no-such-program-anywhere: command not found\n", 127),
    ],
)
def test_a_command_gives_its_output_and_status(shell: Shell, command: str, output: str, status: int) -> None:
    result = shell.run(command)
    assert (result.output, result.exit_status) == (output, status)


def test_the_shell_is_the_same_from_one_command_to_the_next(shell: Shell) -> None:
    shell.run("cd /; number=41; sleep 0 & job=$!")
    assert shell.run("echo $((number + 1)) $PWD").output == "42 /\n"
    assert shell.run("wait $job; echo $?").output == "0\n"
    assert shell.variable("number") == "41"
    assert shell.variable("unset_anywhere") == ""


def test_the_status_of_the_command_before_is_seen(shell: Shell) -> None:
    shell.run("(exit 7)")
    assert shell.variable("PWD")
    assert shell.run("echo $?").output == "7\n"


def test_a_syntax_error_is_a_failed_command_and_no_more(shell: Shell) -> None:
    broken = shell.run("echo 'never closed")
    assert broken.exit_status != 0
    assert "unexpected EOF" in broken.output
    assert shell.run("echo still here").output == "still here\n"


def test_much_output_arrives_complete(shell: Shell) -> None:
    assert len(shell.run("head -c 1000000 /dev/zero | tr '\\0' x").output) == 1_000_000


def test_a_command_that_hangs_is_given_up(shell: Shell) -> None:
    started = time.monotonic()
    with pytest.raises(ShellLostError, match="within 5 seconds") as hangs:
        shell.run("echo begun; sleep 100", timeout=5)  # a busy computer may take seconds for the first word
    assert hangs.value.output == "begun\n"
    assert time.monotonic() - started < 60


def test_a_command_that_prints_without_end_is_given_up(shell: Shell) -> None:
    with pytest.raises(ShellLostError, match="4 MiB"):
        shell.run("yes")


def test_a_command_that_ends_the_shell_is_told(shell: Shell) -> None:
    with pytest.raises(ShellLostError, match="ended the lesson's shell") as ended:
        shell.run("echo bye; exit 3")
    assert ended.value.output == "bye\n"


def test_a_connection_that_breaks_is_no_failed_command(machine: Machine) -> None:
    shell = Shell(machine.connection())
    # The parent of bash is the sshd process that holds this very connection.
    with pytest.raises(InfrastructureError, match="lost") as lost:
        shell.run("echo before; kill -9 $PPID; sleep 5", timeout=4)
    assert "invoke status" in lost.value.hint


def test_no_connection_is_no_shell(machine: Machine) -> None:
    connection = machine.connection()
    connection.close()
    with pytest.raises(InfrastructureError):
        Shell(connection)


def test_files_are_put_where_the_shell_then_is(shell: Shell, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("hello world.txt")
        content = b"hi\n" * 1000
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    shell.enter(str(tmp_path / "a b"), archive.getvalue())
    assert shell.run("pwd; wc -l < 'hello world.txt'").output == f"{tmp_path}/a b\n1000\n"


def test_files_that_cannot_be_put_are_the_machines_trouble(shell: Shell) -> None:
    with pytest.raises(InfrastructureError, match="/dev/null/x"):
        shell.enter("/dev/null/x", b"")
