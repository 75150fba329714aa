"""testinfra's Host over the lab's connection."""

from __future__ import annotations

import time

import pytest
from testinfra.host import Host

from labkit.errors import InfrastructureError
from labkit.host.machines import Machine
from labkit.host.scenario import backend


@pytest.fixture
def host(machine: Machine) -> Host:
    return backend.host(machine.name, machine.connection())


def test_streams_and_status_are_kept_apart(host: Host) -> None:
    result = host.run("printf out; printf 'err\\n' >&2; exit 3")
    assert (result.stdout, result.stderr, result.rc) == ("out", "err\n", 3)
    again = host.run("echo fine")
    assert (again.stdout, again.stderr, again.rc) == ("fine\n", "", 0)


def test_arguments_are_quoted(host: Host) -> None:
    assert host.check_output("printf '%%s|' %s %s", "a b; exit 1", "it's $HOME") == "a b; exit 1|it's $HOME|"


def test_one_command_does_not_change_the_next_ones_world(host: Host) -> None:
    host.run("cd /; x=1; exec 9>&-")
    assert host.run("echo $x$PWD; echo e >&2").stderr == "e\n"
    assert host.run("cat").stdout == ""


def test_a_command_that_fails_says_so_in_a_sentence(host: Host) -> None:
    with pytest.raises(AssertionError) as failed:
        host.check_output("cat %s", "/no such file")
    assert str(failed.value).startswith("`cat '/no such file'` ended with status 1: cat: '/no such file': No such file")


def test_other_letters(host: Host) -> None:
    assert host.check_output("printf 'ünï € '; echo %s", "été") == "ünï € été"


def test_testinfras_own_modules_work(host: Host) -> None:
    assert host.file("/etc/passwd").is_file
    assert "root" in host.file("/etc/passwd").content_string
    assert host.interface("lo").exists


def test_a_command_that_hangs_fails_the_check_and_no_other(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "TIMEOUT", 0.5)
    with pytest.raises(AssertionError, match="`sleep 3` did not come to an end"):
        host.run("sleep 3")
    assert host.check_output("echo next") == "next"


def test_the_shell_is_made_anew_where_a_command_killed_it(host: Host) -> None:
    with pytest.raises(AssertionError, match="did not come to an end"):
        host.run("kill -9 $$")
    assert host.check_output("echo next") == "next"


def test_a_machine_that_is_gone_is_no_failed_check(host: Host, machine: Machine) -> None:
    host.run("true")
    machine.connection().close()
    with pytest.raises(InfrastructureError):
        host.run("true")


def test_a_command_costs_little(host: Host) -> None:
    host.run("true")
    started = time.monotonic()
    for _ in range(20):
        host.run("true")
    assert time.monotonic() - started < 5
