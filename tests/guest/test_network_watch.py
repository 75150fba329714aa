"""What labkit reads and watches by pyroute2, against what ip(8) says; and that nothing else misses it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import labkit, output, wait_for
from programs import LABKIT, PROGRAMS

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "100")


def watch(*words: str) -> subprocess.Popen[str]:
    """A watch that has begun."""
    command = [*LABKIT, "network", "watch", *words]
    begun = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert begun.stderr is not None
    assert begun.stderr.readline().startswith("watching")
    return begun


def test_it_ends_when_nobody_reads_it_any_more() -> None:
    """And not when something happens next, which may be tomorrow."""
    seen = watch()
    assert seen.stdout is not None
    seen.stdout.close()
    assert seen.wait(20) == 141


def run(*words: str) -> tuple[str, str]:
    """A container's network namespace, and the link of ours that leads there."""
    labkit("run", "-d", "--name", "web", *words)
    (known,) = json.loads(labkit("inspect", "web").stdout)
    return f"labkit-{known['id'][:12]}", known["endpoints"]["labkit0"]["link"]


def test_a_start_and_a_stop_are_seen_event_by_event() -> None:
    seen = watch("--json")
    inside, outside = run(*SLEEP)
    labkit("stop", "-t", "0", "web")
    events = []
    assert seen.stdout is not None
    for line in seen.stdout:
        event = json.loads(line)
        if event["subject"] != "neighbour":  # whoever talks to whom at this moment
            words = (event["what"], event["subject"], event["device"], event.get("destination", event.get("is_up")))
            events.append((event["namespace"], *words))
        if events and events[-1] == ("", "gone", "link", "labkit0", False):
            break
    seen.send_signal(signal.SIGINT)
    assert seen.wait(20) == 130
    told = [event[1:] for event in events if not event[0]]
    # A busy machine was seen to tell of a change of a link twice. Nothing else may come twice.
    told = [now for before, now in zip([None, *told], told) if now != before or now[:2] != ("changed", "link")]
    assert told == [
        ("new", "link", "labkit0", False),
        ("new", "address", "labkit0", None),
        ("changed", "link", "labkit0", True),
        ("new", "route", "labkit0", "10.77.0.0/16"),
        ("new", "link", outside, False),
        ("changed", "link", outside, False),  # it is a port of the bridge now
        ("changed", "link", outside, True),
        ("changed", "link", outside, False),
        ("gone", "link", outside, False),
        ("changed", "link", "labkit0", False),
        ("gone", "address", "labkit0", None),
        ("gone", "route", "labkit0", "10.77.0.0/16"),
        ("gone", "link", "labkit0", False),
    ]
    assert [event[1:] for event in events if event[0] == inside] == [
        ("new", "link", "eth0", False),
        ("new", "address", "eth0", None),
        ("changed", "link", "eth0", True),
        ("new", "route", "eth0", "10.77.0.0/16"),
        ("new", "route", "eth0", "default"),
        ("changed", "link", "eth0", False),
        ("gone", "address", "eth0", None),
        ("gone", "route", "eth0", "default"),
        ("gone", "route", "eth0", "10.77.0.0/16"),
        ("gone", "link", "eth0", False),
    ]


def test_a_watch_knows_what_was_there_and_ends_when_it_was_told_to() -> None:
    inside, _ = run(*SLEEP)
    half_made = Path("/run/netns/half-made")  # as each is for a moment, before it is mounted and when it is unmounted
    half_made.touch()
    seen = watch("--count", "2")
    half_made.unlink()
    output("ip", "-n", inside, "address", "add", "192.0.2.7/32", "dev", "eth0")
    output("ip", "-n", inside, "link", "set", "eth0", "down")
    said, _ = seen.communicate(timeout=60)
    assert seen.returncode == 0
    assert [line.split(" ", 1)[1] for line in said.splitlines()] == [
        f"+ address   192.0.2.7/32 dev eth0   in {inside}",
        f"~ link      eth0 veth down 02:42:0a:4d:00:02   in {inside}",
    ]
    assert labkit("network", "watch", "--timeout", "0.1").stdout == ""
    assert "--count 0 would never begin" in labkit("network", "watch", "--count", "0", check=False).stderr


def by_ip(devices: list[str], *namespace: str) -> list[set[tuple[Any, ...]]]:
    """Links, addresses, routes and neighbours of some devices, as ip(8) has them."""

    def ask(*words: str) -> list[dict[str, Any]]:
        return [entry for entry in json.loads(output("ip", *namespace, "-json", "-4", *words)) if entry]

    links = {(link["ifname"], link["address"], "UP" in link["flags"]) for link in ask("link")}
    addresses = {
        (link["ifname"], each["local"], each["prefixlen"]) for link in ask("address") for each in link["addr_info"]
    }
    routes = {(route["dev"], route["dst"], route.get("gateway", "")) for route in ask("route")}
    neighbours = {(each["dev"], each["dst"], each.get("lladdr", "")) for each in ask("neighbour")}
    return [{entry for entry in kind if entry[0] in devices} for kind in (links, addresses, routes, neighbours)]


def by_labkit(picture: dict[str, list[dict[str, Any]]]) -> list[set[tuple[Any, ...]]]:
    fields = {
        "links": ("device", "mac", "is_up"),
        "addresses": ("device", "address", "prefix"),
        "routes": ("device", "destination", "gateway"),
        "neighbours": ("device", "address", "mac"),
    }
    return [{tuple(entry[name] for name in names) for entry in picture[kind]} for kind, names in fields.items()]


def test_inspect_explain_and_packet_walk_say_what_ip_says() -> None:
    inside, port = run("-p", "7040:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    assert wait_for(lambda: json.loads(labkit("packet-walk", "web", "--json").stdout)["connected"])
    output("ip", "link", "add", "stranger", "type", "bridge")
    try:
        (network,) = json.loads(labkit("network", "inspect", "labkit0").stdout)
    finally:
        output("ip", "link", "delete", "stranger")
    assert by_labkit(network["kernel"]) == by_ip(["labkit0", port])
    told = json.loads(labkit("explain", "--json", "web").stdout)["network"]
    assert by_labkit(told["inside"]) == by_ip(["lo", "eth0"], "-n", inside)
    assert by_labkit(told["outside"]) == by_ip([port])
    walk = json.loads(labkit("packet-walk", "web", "--json").stdout)
    assert by_labkit(walk["outside"]) == by_ip(["labkit0", port])
    assert by_labkit(walk["inside"]) == by_ip(["lo", "eth0"], "-n", inside)
    assert all(by_ip(["labkit0", port])), "nothing of a kind, and nothing was compared"
    numbers = {
        link["device"]: (link["index"], link["other"]) for link in network["kernel"]["links"] + told["inside"]["links"]
    }
    assert numbers[port] == numbers["eth0"][::-1], "the two ends of one cable"
    assert walk["conntrack"]["state"] == "ESTABLISHED"


def test_gc_names_what_it_found_and_what_is_nobodys() -> None:
    inside, outside = run("-p", "7041:80", *SLEEP)
    (known,) = json.loads(labkit("inspect", "web").stdout)
    shim = Path(f"/proc/{known['state']['pid']}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(shim), signal.SIGKILL)
    output("ip", "link", "add", "labkit-00000000", "type", "bridge")
    output("ip", "netns", "add", "labkit-000000000000")
    try:
        said = labkit("gc").stdout.splitlines()
    finally:
        output("ip", "link", "delete", "labkit-00000000")
        output("ip", "netns", "delete", "labkit-000000000000")
    place = said.index("nobody is responsible for, and no journal of labkit's tells of:")
    assert said[place + 1 :] == ["  link labkit-00000000", "  network namespace labkit-000000000000"]
    assert said[0] == f"cleaned up after {known['id'][:12]}"
    assert {f"  link {outside}", "  link labkit0", f"  network namespace {inside}"} <= set(said[1:place])
    assert "  rule nat LABKIT -p tcp -m tcp --dport 7041 -j DNAT --to-destination 10.77.0.2:80" in said[1:place]
    assert labkit("gc").stdout == "nothing to clean up\n"


def test_without_pyroute2_containers_run_and_whoever_reads_says_what_is_missing(open_place: Path) -> None:
    shutil.copytree(PROGRAMS.parent, open_place / "labkit", ignore=shutil.ignore_patterns("pyroute2*"))

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(open_place / "labkit/bin/labkit"), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    ran = call("run", "-p", "7042:80", "--name", "web", "busybox", "echo", "all is well")
    assert (ran.returncode, ran.stdout) == (0, "all is well\n"), ran.stderr
    call("start", "web")
    for words in (("network", "watch"), ("network", "inspect", "labkit0"), ("gc",)):
        refused = call(*words)
        assert (refused.returncode, refused.stdout) == (6, "")
        sentence, hint = refused.stderr.splitlines()
        assert "pyroute2" in sentence
        assert "invoke deploy" in hint
    assert call("gc", "-q").returncode == 0
