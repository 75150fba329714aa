"""The lessons in a real machine: they pass, they prove what they claim, and where something is wrong they say so.

``invoke test`` brings its own machine. Alone, these tests make one, in a state directory of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from labkit.errors import InfrastructureError
from labkit.host.lab.paths import checkout
from labkit.host.machines.base import Machine
from labkit.host.scenario import catalogue, find, plugin, run
from labkit.host.scenario.model import Command
from labkit.host.scenario.narrator import Narrator


def do(machine: Machine, command: str) -> str:
    return str(machine.connection().run(command, hide=True, in_stream=False).stdout)


LESSONS = [lesson.name for lesson in catalogue()]
UNTIL_IT_ANSWERS = "timeout 20 sh -c 'until redis-cli ping; do sleep 0.2; done'"

Case = tuple[str, str, set[str]]
"""Verdict, words, claims of one test case."""


def cases(junit: Path) -> dict[str, Case]:
    """Test case -> what the junit file says of it, in its order."""
    found: dict[str, Case] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        claims = {prop.get("value", "") for prop in case.iter("property") if prop.get("name") == "claim"}
        problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        verdict = "passed" if problem is None else problem.tag
        words = "" if problem is None else problem.get("message", "") + (problem.text or "")
        found[case.get("name", "")] = (verdict, words, claims)
    return found


def changed(tmp_path: Path, name: str, before: str, after: str) -> Path:
    """A directory of lessons with a copy of one, in which something is different."""
    source, copy = find(name).path.parent, tmp_path / "scenarios" / name
    copy.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    text = (copy / "README.md").read_text(encoding="utf-8")
    assert before in text, "the lesson has been changed, and this test has not"
    (copy / "README.md").write_text(text.replace(before, after, 1), encoding="utf-8")
    return copy.parent


@pytest.fixture(autouse=True)
def _fresh_modules() -> None:
    """Two runs in one process would share the module of the first one's checks."""
    for name in [name for name in sys.modules if ".test_" in name and name.split(".")[0] in LESSONS]:
        del sys.modules[name]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_passes_and_proves_its_claims(machine: Machine, tmp_path: Path, name: str) -> None:
    lesson = find(name)
    junit = tmp_path / "results.xml"
    assert run(name, machine, junit=junit) == 0
    found = cases(junit)
    assert set(found) >= {step.id for step in lesson.steps}, "each step is a test case"
    assert {verdict for verdict, _, _ in found.values()} == {"passed"}
    proven = set().union(*(claims for _, _, claims in found.values()))
    assert proven == set(lesson.claims), "the front matter names exactly what the checks assert"
    left = do(
        machine,
        "labkit ps -aq; ip netns list; ls /run/labkit/containers 2>/dev/null; grep overlay /proc/mounts || true",
    )
    assert left == "", "the lesson puts back what it made"


def test_a_missing_rule_is_named(machine: Machine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As if the runtime had forgotten its DNAT rule: a hidden command takes it away before anybody has looked."""
    started = "$ labkit run -d --name sleeper busybox sleep 3600\n...\n"
    forgotten = (
        f"{started}$ iptables -t nat -D LABKIT -p tcp -m tcp --dport 6379 -j DNAT --to-destination 10.77.0.2:6379\n"
    )
    place = changed(tmp_path, "redis-nat", started, forgotten)
    junit = tmp_path / "results.xml"
    assert run("redis-nat", machine, junit=junit, place=place) == 1
    found = cases(junit)
    assert found["start-redis"][0] == "failure"
    assert "this was still expected" in found["start-redis"][1]
    assert "--to-destination 10.77.0.2:6379" in found["start-redis"][1]
    assert found["pong"] == ("skipped", found["pong"][1], set())
    assert "README.md" in found["start-redis"][1]
    shown = capfd.readouterr().out
    assert "- -A LABKIT -p tcp -m tcp --dport 6379 -j DNAT --to-destination 10.77.0.2:6379" in shown
    assert "redis-nat failed" in shown


@pytest.mark.thorough
def test_checks_alone_say_what_is_missing(machine: Machine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    machine.reset()
    assert run("redis-nat", machine, checks_only=True) == 1
    assert "start it: `labkit run -d -p 6379:6379 --name redis redis`" in capfd.readouterr().out
    do(machine, f"labkit run -d -p 6379:6379 --name redis redis && {UNTIL_IT_ANSWERS}")
    junit = tmp_path / "results.xml"
    assert run("redis-nat", machine, checks_only=True, junit=junit) == 0
    assert {verdict for verdict, _, _ in cases(junit).values()} == {"passed", "skipped"}
    assert "redis" in do(machine, "labkit ps"), "nothing was reset"


@pytest.mark.parametrize("name", LESSONS)
def test_checks_of_nothing_speak_in_sentences(machine: Machine, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Somebody asks for the checks first: they learn where to work, and which step is missing; no Python is shown."""
    machine.reset()
    assert run(name, machine, checks_only=True) == 1
    shown = capfd.readouterr().out
    assert f"work in /root/lessons/{name} (`invoke ssh`)" in shown
    assert "see the step" in shown or "start it: `labkit run" in shown
    assert not re.search(r"assert |Error|def test_|\.py", shown), shown
    assert do(machine, f"ls /root/lessons/{name}").split() == (["pid.c"] if name == "pid-1" else [])


def test_the_lesson_of_contributing_can_be_copied(machine: Machine, tmp_path: Path) -> None:
    """Its README.md and its check, just as they stand there."""
    text = (checkout() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    readme, rest = text.split("````markdown\n", 1)[1].split("````\n", 1)
    check = rest.split("```python\n", 1)[1].split("```\n", 1)[0]
    lesson = tmp_path / "scenarios" / "my-lesson"
    lesson.mkdir(parents=True)
    (lesson / "README.md").write_text(readme, encoding="utf-8")
    (lesson / "test_my_lesson.py").write_text(check, encoding="utf-8")
    junit = tmp_path / "results.xml"
    assert run("my-lesson", machine, junit=junit, place=lesson.parent) == 0
    assert cases(junit)["test_the_shell_is_a_process_of_the_host"] == ("passed", "", {"D4"})


NETNS = "ip netns exec $(ip netns list | cut -d' ' -f1)"
RULE = "LABKIT -p tcp -m tcp --dport 6379 -j DNAT --to-destination 10.77.0.2:6379"
UNPLUGGED = [
    ("ip link set $(ip -br link show type veth | cut -d@ -f1) nomaster",
     "ip link set $(ip -br link show type veth | cut -d@ -f1) master labkit0"),
]  # fmt: skip
SABOTAGE = {
    "test_publishing_appended_a_dnat_rule": [
        (f"iptables -t nat -D {RULE}", f"iptables -t nat -A {RULE}"),
        (f"iptables -t nat -I {RULE}9", f"iptables -t nat -D {RULE}9"),
    ],
    "test_the_port_is_open_in_there_only": [
        (f"{NETNS} pkill -STOP redis-server; python3 -c 'import socket, time; s = socket.create_server((\"\", 6379)); "
         "time.sleep(60)' >/dev/null 2>&1 & sleep 1.5", "pkill python3; pkill -CONT redis-server"),
    ],
    "test_the_address_is_of_the_bridges_subnet": [
        (f"{NETNS} ip addr change 10.78.0.2/16 dev eth0; {NETNS} ip addr del 10.77.0.2/16 dev eth0",
         f"{NETNS} ip addr add 10.77.0.2/16 dev eth0; {NETNS} ip addr del 10.78.0.2/16 dev eth0; "
         f"{NETNS} ip route replace default via 10.77.0.1"),
    ],
    "test_a_veth_pair_leads_to_the_bridge": UNPLUGGED,
    "test_a_second_witness_sees_the_same_cable": UNPLUGGED,
    "test_the_bridge_is_the_default_gateway": [
        (f"{NETNS} ip route replace default via 10.77.0.9", f"{NETNS} ip route replace default via 10.77.0.1"),
    ],
    "test_the_container_answers_ping": [
        (f"{NETNS} sysctl -qw net.ipv4.icmp_echo_ignore_all=1", f"{NETNS} sysctl -qw net.ipv4.icmp_echo_ignore_all=0"),
    ],
    "test_pong": [
        ("sysctl -qw net.ipv4.conf.labkit0.route_localnet=0", "sysctl -qw net.ipv4.conf.labkit0.route_localnet=1"),
    ],
    "test_local_addresses_lead_to_our_chain": [
        ("iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j LABKIT",
         "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j LABKIT"),
        ("iptables -t nat -D LABKIT -i labkit0 -j RETURN", "iptables -t nat -I LABKIT -i labkit0 -j RETURN"),
    ],
    "test_the_packet_passes_dnat_filter_and_masquerade": [
        ("iptables -I OUTPUT -p tcp --dport 6379 -j ACCEPT", "iptables -D OUTPUT -p tcp --dport 6379 -j ACCEPT"),
    ],
    "test_redis_sees_the_bridge": [
        ("iptables -t nat -I POSTROUTING -o labkit0 -p tcp -j SNAT --to-source 10.0.2.15",
         "iptables -t nat -D POSTROUTING -o labkit0 -p tcp -j SNAT --to-source 10.0.2.15"),
    ],
}  # fmt: skip
"""Check -> commands that make untrue what it states, each with the one that makes it true again."""


@pytest.mark.thorough
def test_each_check_of_redis_nat_can_fail(machine: Machine, tmp_path: Path) -> None:
    machine.reset()
    do(machine, f"labkit run -d -p 6379:6379 --name redis redis && {UNTIL_IT_ANSWERS}")
    junit = tmp_path / "results.xml"
    blind: list[str] = []
    for name, pairs in SABOTAGE.items():
        for break_it, mend_it in pairs:
            do(machine, break_it)
            verdict = one_check(machine, junit, name)
            do(machine, mend_it)
            if verdict != "failure":
                blind.append(f"{name} says “{verdict}” after `{break_it}`")
    assert blind == []
    assert run("redis-nat", machine, checks_only=True, junit=junit) == 0, "not everything was mended"
    by_hand = {name for name, (verdict, _, _) in cases(junit).items() if verdict == "passed"}
    # A container in the machine's own network namespace is another container.
    assert by_hand - set(SABOTAGE) == {"test_each_container_has_its_own_network_namespace"}


@pytest.mark.thorough
def test_a_container_in_the_machines_own_network_is_found_out(machine: Machine, tmp_path: Path) -> None:
    machine.reset()
    do(machine, f"labkit run -d --network host --name redis redis && {UNTIL_IT_ANSWERS}")
    junit = tmp_path / "results.xml"
    assert one_check(machine, junit, "test_each_container_has_its_own_network_namespace") == "failure"


def one_check(machine: Machine, junit: Path, name: str, lesson: str = "redis-nat") -> str:
    """The verdict about what is there now of one of the lesson's checks."""
    lessons = checkout() / "scenarios"
    words = ["--config-file", str(lessons / "pytest.ini"), "-p", "no:cacheprovider", "-q", "--tb=no", "-k", name]
    stage = plugin.Stage(machine, checks_only=True)
    pytest.main([*words, f"--junitxml={junit}", str(lessons / lesson)], plugins=[stage])
    return cases(junit)[name][0]


INSIDE = "mount -t proc proc /proc; sh -c 'setsid sleep 602 &'; exec sleep 601"
ALONE = f"unshare --mount --ipc --uts --pid --fork bash -c {shlex.quote(INSIDE)}"
PROCESSES = f"(unshare --ipc --uts --pid --fork sleep 600 & {ALONE} &) >/dev/null 2>&1; sleep 1"
HEARS = (  # a program called sleep that has a handler for SIGTERM
    r"#include <signal.h>\n#include <unistd.h>\nvoid end(int n) { _exit(0); }\n"
    r"int main(void) { signal(SIGTERM, end); for (;;) pause(); }"
)
UNION = (
    "cd /root/lessons/overlay; mkdir company home work mnt; echo source > company/code; echo monday > company/meeting;"
    "touch home/eat home/sleep; {mount}; {write}; {delete}"
)
MOUNT = "mount -t overlay -o lowerdir=company,upperdir=home,workdir=work none mnt"
WRITE, DELETE = "echo apple > mnt/code", "rm mnt/meeting"
VARIANTS = [
    # lesson, what somebody has done by hand, the checks that must see that it is not what the lesson shows
    ("pid-1", PROCESSES, set()),
    ("pid-1", PROCESSES.replace("unshare --ipc --uts --pid --fork sleep 600", "sleep 600"),
     {"test_the_clones_shell_is_process_1_inside_and_another_outside", "test_exactly_the_flags_namespaces_are_new"}),
    ("pid-1", PROCESSES.replace("unshare --ipc --uts --pid --fork sleep", "unshare --ipc --pid --fork sleep"),
     {"test_exactly_the_flags_namespaces_are_new"}),
    ("pid-1", PROCESSES.replace("mount -t proc proc /proc; ", ""),
     {"test_ps_shows_the_host_until_proc_is_mounted_anew", "test_the_new_proc_shows_only_the_family"}),
    ("pid-1", PROCESSES.replace("setsid sleep 602 &", "true") + "; sleep 602 >/dev/null 2>&1 &",
     {"test_process_1_adopts_orphans", "test_the_new_proc_shows_only_the_family"}),
    ("pid-1", f"mkdir /tmp/own; printf '{HEARS}' > /tmp/own/sleep.c; cc -o /tmp/own/sleep /tmp/own/sleep.c; "
     + PROCESSES.replace("exec sleep 601", "exec -a sleep /tmp/own/sleep 601"),
     {"test_a_signal_from_inside_does_not_kill_process_1", "test_process_1_adopts_orphans"}),
    ("overlay", UNION.format(mount=MOUNT, write=WRITE, delete="true"), {"test_a_deletion_leaves_a_whiteout"}),
    ("overlay", UNION.format(mount=MOUNT, write="true", delete=DELETE), {"test_copy_up"}),
    ("overlay", UNION.format(mount="cp -r company/* home/* mnt", write=WRITE, delete=DELETE),
     {"test_the_union_shows_both", "test_copy_up", "test_a_deletion_leaves_a_whiteout"}),
    ("overlay", UNION.format(mount=MOUNT, write=WRITE, delete=f"{DELETE}; umount mnt; rm home/meeting; {MOUNT}"),
     {"test_a_deletion_leaves_a_whiteout"}),
]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize(("lesson", "done", "seen"), VARIANTS)
def test_checks_see_what_is_not_as_the_lesson_shows(
    machine: Machine, tmp_path: Path, lesson: str, done: str, seen: set[str]
) -> None:
    machine.reset()
    do(machine, f"mkdir -p /root/lessons/{lesson}")
    do(machine, done)
    junit = tmp_path / "results.xml"
    run(lesson, machine, checks_only=True, junit=junit)
    failed = {name for name, (verdict, _, _) in cases(junit).items() if verdict == "failure"}
    assert seen <= failed
    if lesson == "pid-1":
        assert seen == failed, "a check failed that has nothing to do with it"


@pytest.mark.thorough
def test_a_machine_killed_in_the_middle_is_no_failed_lesson(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if machine.provider != "qemu":
        pytest.skip(f"the provider {machine.provider} has no process that could be killed")
    place = changed(
        tmp_path, "redis-nat", "$ labkit run -d --name sleeper", "$ sleep 20\n$ labkit run -d --name sleeper"
    )
    junit = tmp_path / "results.xml"
    tell = Narrator.runs

    def kill() -> None:
        pid = machine.status().facts["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)

    def runs(self: Narrator, command: Command) -> None:
        tell(self, command)
        if command.text == "sleep 20":
            threading.Timer(1.0, kill).start()

    monkeypatch.setattr(Narrator, "runs", runs)
    with pytest.raises(InfrastructureError) as lost:
        run("redis-nat", machine, junit=junit, place=place)
    assert lost.value.exit_status == 7
    assert "invoke up" in lost.value.hint
    found = list(cases(junit).values())
    assert "failure" not in {verdict for verdict, _, _ in found}
    assert found[-1][0] == "error"
    machine.up()
    assert do(machine, "echo alive").strip() == "alive"
