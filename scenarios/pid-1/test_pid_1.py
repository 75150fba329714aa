"""What the lesson pid-1 says, looked at from outside: by /proc, ps and nsenter."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from labkit.host.scenario import PlayedLesson, after

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
STEPS = {"sleep 600": "One process, two numbers", "sleep 601": "A family", "sleep 602": "A family"}
"""Command line -> title of the step that starts it."""


def process(host: Host, command: str) -> int:
    """The pid, as the machine counts it, of the one process with exactly this command line."""
    pids = host.run("pids_of %s", command).stdout.split()
    assert pids, f"no process `{command}` runs; see the step “{STEPS[command]}”"
    assert len(pids) == 1, f"{len(pids)} processes `{command}` run, and it should be one: end the others"
    return int(pids[0])


def status(host: Host, pid: int, field: str) -> list[str]:
    """One field of /proc/PID/status, as words."""
    return host.check_output("grep ^%s: /proc/%s/status", field, str(pid)).split()[1:]


def namespaces(host: Host, pid: int | str) -> dict[str, str]:
    """Namespace -> its identity, of one process; "self" is a process outside of the lesson, of the machine itself."""
    links = host.check_output("cd /proc/%s/ns && readlink " + " ".join(NAMESPACES), str(pid))
    return dict(zip(NAMESPACES, links.split(), strict=True))


@after("one-process-two-numbers")
@pytest.mark.claim("D4")
def test_the_clones_shell_is_process_1_inside_and_another_outside(host: Host) -> None:
    """What clone() started is process 1 of its own namespace, and has an ordinary pid here."""
    pid = process(host, "sleep 600")
    numbers = status(host, pid, "NSpid")
    assert numbers[1:], f"process {pid} has no other number: it is in the machine's own pid namespace"
    assert numbers == [str(pid), "1"], (
        f"process {pid} has the numbers {', '.join(numbers)}: inside, it is not process 1"
    )


@after("process-1-once-more", by_hand=False)
@pytest.mark.claim("D4")
def test_the_shell_outside_is_what_it_was(host: Host, lesson: PlayedLesson) -> None:
    """The shell inside said 1; after its end the outer shell is the process that it was, and so is its machine."""
    assert "\nI am process 1\n" in lesson.output("process-1-once-more")
    outer = lesson.variable("outer")
    assert status(host, int(outer), "Name") == ["bash"]
    assert status(host, int(outer), "NSpid") == [outer]
    assert host.check_output("uname -n") != "sandbox", "the host's name was changed from inside"


@after("one-call-does-it", by_hand=False)
@pytest.mark.claim("H1")
def test_one_clone_makes_process_and_namespaces(host: Host, lesson: PlayedLesson) -> None:
    """One clone() with its flags combined made the process and the namespaces; no other such call was needed."""
    calls = host.file("/root/lessons/pid-1/calls").content_string.splitlines()
    assert len(calls) == 1, f"strace saw {len(calls)} calls"
    flags = set(calls[0].partition("flags=")[2].partition(")")[0].split("|"))
    assert flags == {"CLONE_NEWPID", "CLONE_NEWIPC", "CLONE_NEWUTS", "SIGCHLD"}


@after("one-process-two-numbers")
@pytest.mark.claim("H1")
def test_exactly_the_flags_namespaces_are_new(host: Host) -> None:
    """The process has new namespaces for exactly the three flags, and shares the others with the machine."""
    ours, theirs = namespaces(host, "self"), namespaces(host, process(host, "sleep 600"))
    own = [name for name in NAMESPACES if ours[name] != theirs[name]]
    found = ", ".join(own) or "none"
    assert own == ["ipc", "pid", "uts"], f"`sleep 600` should have ipc, pid, uts of its own, and it has: {found}"


@after("a-family")
@pytest.mark.claim("D5")
def test_ps_shows_the_host_until_proc_is_mounted_anew(host: Host) -> None:
    """Inside, ps shows the machine's init as process 1 before /proc is remounted, and itself afterwards."""
    inside = "nsenter --pid --mount --target %s ps -p 1 -o args="
    plain = host.run(inside, str(process(host, "sleep 600"))).stdout.strip()
    assert plain == host.check_output("ps -p 1 -o args="), f"beside `sleep 600`, ps calls process 1 “{plain}”"
    anew = host.run(inside, str(process(host, "sleep 601"))).stdout.strip()
    assert anew == "sleep 601", f"beside `sleep 601`, ps calls process 1 “{anew}”: has it a /proc of its own?"


@after("a-family")
@pytest.mark.claim("D5")
def test_the_new_proc_shows_only_the_family(host: Host) -> None:
    """With its own /proc, ps lists the processes of its namespace and no other."""
    listed = host.check_output("nsenter --pid --mount --target %s ps -e -o comm=", str(process(host, "sleep 601")))
    assert sorted(listed.split()) == ["ps", "sleep", "sleep"], (
        f"beside `sleep 601`, ps lists {len(listed.split())} processes, and not just itself and two sleeps"
    )


@after("a-family")
@pytest.mark.claim("D12")
def test_a_signal_from_inside_does_not_kill_process_1(host: Host) -> None:
    """SIGKILL and SIGTERM sent from inside the namespace leave its first process alive."""
    pid = process(host, "sleep 601")
    sent = host.run("nsenter --pid --mount --target %s sh -c 'kill -9 1 && kill -TERM 1' && sleep 0.3", str(pid))
    assert sent.rc == 0, f"the signals could not be sent: {sent.stderr.strip()}"
    assert host.run("kill -0 %s", str(pid)).rc == 0, "`sleep 601` was process 1 in there, and a signal ended it"


@after("a-family")
@pytest.mark.claim("D12")
def test_process_1_adopts_orphans(host: Host) -> None:
    """The orphan's parent is the first process of its namespace, and not the machine's init."""
    first, orphan = process(host, "sleep 601"), process(host, "sleep 602")
    (parent,) = status(host, orphan, "PPid")
    assert parent == str(first), f"the parent of `sleep 602` is process {parent}, and not `sleep 601`"
    ours, theirs, orphans = (namespaces(host, pid)["pid"] for pid in ("self", first, orphan))
    assert orphans == theirs, "`sleep 601` and `sleep 602` are in different pid namespaces"
    assert theirs != ours, "`sleep 601` is in the machine's own pid namespace"


@after("the-last-one-turns-off-the-light", by_hand=False)
@pytest.mark.claim("D12")
def test_all_die_with_process_1(host: Host, lesson: PlayedLesson) -> None:
    """The end of process 1 was the end of its orphan, which had outlived its own parent."""
    first, orphan = lesson.variable("first"), lesson.variable("orphan")
    assert first.isdecimal()
    assert orphan.isdecimal()
    for pid in (first, orphan):
        assert host.run("test -e /proc/%s", pid).rc != 0, f"process {pid} still exists"


@after("put-everything-back", by_hand=False)
def test_nothing_is_left(host: Host) -> None:
    """No process of the lesson is left, nor its files."""
    assert host.run("pgrep -af '^sleep 60'").stdout == ""
    assert host.check_output("ls /root/lessons/pid-1") == "pid.c"
