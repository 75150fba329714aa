"""What the lesson cgroup-cpu says, looked at from outside: by /proc, the kernel's own counters and lssubsys."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from labkit.host.scenario import PlayedLesson, after

ROOT = "/sys/fs/cgroup"
START = "start it: `labkit run -d --network none --cpus 0.5 --name half busybox sh -c 'while :; do :; done'`"
OPTIONS = ("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "xattr", "clone_children", "release_agent")
"""What stands in /proc/mounts beside the names of controllers."""
SECONDS = 3
"""How long is measured: thirty periods of the quota."""


def trees(host: Host) -> dict[str, str]:
    """Controller -> where its tree is mounted, by /proc/mounts; on v2 all of them at the same place."""
    points: dict[str, str] = {}
    for line in host.check_output("cat /proc/mounts").splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup":
            names = [word for word in options.split(",") if word.partition("=")[0] not in OPTIONS]
            points |= dict.fromkeys(names, where)
    if "cpu" in points:
        return points
    listed = host.run("cat %s/cgroup.controllers", ROOT)
    assert listed.rc == 0, f"no control groups are mounted below {ROOT}"
    return dict.fromkeys(listed.stdout.split(), ROOT)


def is_v2(host: Host) -> bool:
    """Whether it is version 2."""
    return bool(host.run("test -e %s/cgroup.controllers", ROOT).rc == 0)


def container(host: Host) -> tuple[str, str]:
    """Id and first process of the one container that runs, by the kernel: /proc/PID/cgroup."""
    result = host.run("grep -oH -m 1 '/labkit/[0-9a-f]*$' /proc/[0-9]*/cgroup")
    found = {match[2]: match[1] for match in re.finditer(r"/proc/(\d+)/cgroup:/labkit/([0-9a-f]{64})", result.stdout)}
    assert found, f"no container runs; {START}"
    assert len(found) == 1, f"{len(found)} containers run, and it should be one: stop the others"
    ((container_id, pid),) = found.items()
    return container_id, pid


def counter(host: Host, group: str) -> str:
    """The command that prints how many nanoseconds of processor time the group ``/…`` has used."""
    if is_v2(host):
        return f"awk '/^usage_usec/ {{ print $2 * 1000 }}' {ROOT}{group}/cpu.stat"
    return f"cat {trees(host)['cpuacct']}{group}/cpuacct.usage"


def share(host: Host, group: str, work: str) -> tuple[float, str]:
    """The group's part of one processor in percent, while ``work`` runs; and what that printed."""
    read = f"{counter(host, group)}; cut -d' ' -f1 /proc/uptime"
    result = host.run(f"{{ {read}; }} && {{ {work}; }} 2>&1 && {{ {read}; }}")
    assert result.rc == 0, f"the group {group} cannot be measured: {(result.stdout + result.stderr).strip()}"
    used, began, *said, used_later, ended = result.stdout.splitlines()
    return (float(used_later) - float(used)) / 1e7 / (float(ended) - float(began)), " ".join(said)


def hold(host: Host, group: str, percent: float) -> None:
    """AssertionError unless the group's loop gets ``percent`` of a processor, a tenth of that more or less.

    By the kernel's own counter. A busy computer may keep the machine itself from running, so it is measured up to three
    times; the last time relative to what another loop, which nobody limits, was given by one processor meanwhile.
    """
    seen = []
    for _ in range(2):
        measured, _ = share(host, group, f"sleep {SECONDS}")
        seen.append(f"{measured:.1f} %")
        if abs(measured - percent) <= percent / 10:
            return
    loop = f"TIMEFORMAT='%R %U %S'; time timeout {SECONDS} sh -c 'while :; do :; done' || true"
    measured, said = share(host, group, loop)
    real, user, system = (float(word) for word in said.split()[-3:])
    given = (user + system) / real
    seen.append(f"{measured:.1f} % while a processor gave {given * 100:.0f} % to a loop without a limit")
    assert abs(measured / given - percent) <= percent / 10, f"the group got {', then '.join(seen)}, and not {percent} %"


@after("the-subsystems")
@pytest.mark.claim("G1")
def test_the_subsystems_and_where_they_are(host: Host) -> None:
    """The subsystems can be listed with their mount points, and cpu is one of them."""
    found = trees(host)
    assert "cpu" in found, f"there is no cpu controller, only {', '.join(sorted(found))}"
    if is_v2(host):
        assert host.check_output("stat -f -c %%T %s", found["cpu"]) == "cgroup2fs"
    else:
        mounted = {name: where for name, where in found.items() if not name.startswith("name=")}
        # Name, number of its tree (0: it is in none), groups, whether it is enabled (cgroups(7)).
        kernel = [line.split() for line in host.check_output("grep -v ^# /proc/cgroups").splitlines()]
        used = {name for name, tree, _, enabled in kernel if tree != "0" and enabled == "1"}
        assert used == set(mounted), f"of {' '.join(sorted(used))} only {' '.join(sorted(mounted))} are mounted"
        # libcgroup 2.0 has only one place for all that are in tree 0, be it nowhere or a hybrid's tree of version 2.
        if all(tree != "0" for _, tree, _, enabled in kernel if enabled == "1"):
            listed = [line.split() for line in host.check_output("lssubsys -m").splitlines()]
            said = {name: where for names, where in listed for name in names.split(",")}
            assert said == mounted, f"lssubsys says {said}, /proc/mounts {mounted}"


@after("the-subsystems")
@pytest.mark.claim("G1")
@pytest.mark.needs("cgroup-memory")
def test_memory_is_one_of_them(host: Host) -> None:
    """The memory subsystem is there, too, with its files."""
    place = trees(host)["memory"]
    files = host.check_output("cd %s && ls -d memory.stat", place)
    assert files == "memory.stat", f"{place} has no files of memory"


@after("a-directory-is-a-group", by_hand=False)
@pytest.mark.claim("G2")
def test_a_directory_is_full_at_once(host: Host) -> None:
    """mkdir makes a group, and its files are there without anybody having made them; rmdir takes all away."""
    place = f"{trees(host)['cpu']}/visitor"
    files = host.check_output("mkdir %s && ls %s && rmdir %s", place, place, place).split()
    wanted = {"cgroup.procs", "cpu.stat", "cpu.max" if is_v2(host) else "cpu.cfs_quota_us"}
    assert wanted <= set(files), f"a new group has no {', '.join(sorted(wanted - set(files)))}"
    assert host.run("ls %s", place).rc != 0


@after("fifty-thousand-of-a-hundred-thousand", by_hand=False)
@pytest.mark.claim("G2")
def test_the_group_is_gone(host: Host) -> None:
    """The lesson's own group is removed."""
    assert host.run("ls -d %s/mine", trees(host)["cpu"]).rc != 0


@after("a-containers-group")
@pytest.mark.claim("G3")
def test_the_container_has_a_group_in_every_subsystem(host: Host) -> None:
    """In every tree there is a group with the container's id below the engine's, and it lists the container's
    process.
    """
    container_id, pid = container(host)
    for place in sorted(set(trees(host).values())):
        group = f"{place}/labkit/{container_id}"
        listed = host.run("cat %s/cgroup.procs", group)
        assert listed.rc == 0, f"the container has no group {group}"
        assert pid in listed.stdout.split(), f"its process {pid} is not in {group}"


@after("a-containers-group")
@pytest.mark.claim("G3")
@pytest.mark.needs("cgroup-memory")
def test_its_memory_is_counted_although_it_is_not_limited(host: Host) -> None:
    """The group in the memory subsystem counts what the container uses."""
    container_id, _ = container(host)
    name = "memory.current" if is_v2(host) else "memory.usage_in_bytes"
    used = host.check_output("cat %s/labkit/%s/%s", trees(host)["memory"], container_id, name)
    assert int(used) > 0, f"{name} says {used}"


@after("half-a-container", by_hand=False)
@pytest.mark.claim("G4")
def test_the_quota_holds_it_to_half_a_processor(host: Host) -> None:
    """50000 of 100000 microseconds: the container's loop gets 45 to 55 % of one processor."""
    container_id, _ = container(host)
    hold(host, f"/labkit/{container_id}", 50)


@after("a-new-limit-by-a-file", by_hand=False)
@pytest.mark.claim("G11")
def test_another_number_in_the_file_takes_effect(host: Host) -> None:
    """The limit that was changed in the file holds the running container to a fifth of a processor."""
    container_id, _ = container(host)
    hold(host, f"/labkit/{container_id}", 20)


@after("a-new-limit-by-the-command")
@pytest.mark.claim("G11")
def test_update_takes_effect(host: Host) -> None:
    """The limit that `labkit update` has changed holds the running container to a quarter of a processor."""
    container_id, pid = container(host)
    hold(host, f"/labkit/{container_id}", 25)
    assert host.run("test -e /proc/%s", pid).rc == 0, "the container was restarted"


@after("stop-it", by_hand=False)
@pytest.mark.claim("G12")
def test_stopping_removes_the_directories(host: Host, lesson: PlayedLesson) -> None:
    """No tree has a group of the container any more, nor the engine's own, since it was the last."""
    container_id = lesson.variable("id")
    assert re.fullmatch(r"[0-9a-f]{64}", container_id)
    assert host.check_output("find %s -name %s -o -name labkit", ROOT, container_id) == ""


@after("stop-it", by_hand=False)
def test_nothing_is_left(host: Host) -> None:
    """No loop runs any more."""
    assert host.run("pgrep -f 'while :; do :; done'").stdout == ""
