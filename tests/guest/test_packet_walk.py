"""labkit packet-walk: what it says against what iptables and the container say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from conftest import labkit, output, picture, wait_for

pytestmark = pytest.mark.root


def walk(name: str, *options: str) -> dict[str, Any]:
    return dict(json.loads(labkit("packet-walk", name, "--json", *options).stdout))


@pytest.fixture
def web() -> str:
    """A container's address; its port 80 is 7030 of this machine, and answers."""
    labkit("run", "-d", "--name", "web", "-p", "7030:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    assert wait_for(lambda: walk("web")["connected"])
    return str(json.loads(labkit("inspect", "web").stdout)[0]["address"])


def rules(found: dict[str, Any], table: str, hook: str) -> list[str]:
    (step,) = [step for step in found["steps"] if (step["table"], step["hook"]) == (table, hook)]
    return [f"{rule['chain']} {rule['rule']}" for rule in step["rules"]]


def test_from_localhost_both_addresses_are_translated(web: str) -> None:
    found = walk("web")
    assert found["destination"] == "127.0.0.1:7030"
    assert rules(found, "nat", "OUTPUT") == [
        "OUTPUT -m addrtype --dst-type LOCAL -j LABKIT",
        f"LABKIT -p tcp -m tcp --dport 7030 -j DNAT --to-destination {web}:80",
    ]
    assert rules(found, "nat", "POSTROUTING") == ["POSTROUTING -o labkit0 -m addrtype --src-type LOCAL -j MASQUERADE"]
    last = found["steps"][-1]
    assert last["destination"] == f"{web}:80"
    assert last["source"].startswith("10.77.0.1:")
    assert found["conntrack"]["reply_source"] == f"{web}:80"


def test_a_walk_counts_what_iptables_counts(web: str) -> None:
    step = next(step for step in walk("web", "--from", "host")["steps"] if step["hook"] == "OUTPUT" and step["rules"])
    rule = next(rule for rule in step["rules"] if "DNAT" in rule["rule"])
    assert rule["after"] == rule["before"] + 1, "only a connection's first packet meets the table nat"
    listed = next(line for line in output("iptables", "-t", "nat", "-vnxL", "LABKIT").splitlines() if "DNAT" in line)
    assert int(listed.split()[0]) == rule["after"]


def test_from_a_neighbour_it_is_forwarded_and_nothing_is_left_of_the_neighbour(web: str) -> None:
    before = picture()
    found = walk("web", "--from", "container")
    assert found["connected"], found["error"]
    assert [step["hook"] for step in found["steps"] if step["table"] == "filter"] == ["FORWARD"]
    assert f"LABKIT-HAIRPIN -p tcp -m tcp --dport 7030 -j DNAT --to-destination {web}:80" in rules(
        found, "nat", "PREROUTING"
    )
    assert picture() == before


def test_a_hairpin_shows_the_gateway_as_its_source(web: str) -> None:
    found = walk("web", "--from", "hairpin")
    assert found["connected"], found["error"]
    assert found["source"].startswith(f"{web}:")
    assert found["steps"][-1]["source"].startswith("10.77.0.1:")


def test_it_reads_well(web: str) -> None:
    said = labkit("packet-walk", "web").stdout
    assert said.startswith("web, 0.0.0.0:7030->80/tcp, from localhost: connected\n")
    assert re.search(r"^ +\d+ → \d+ +LABKIT: -p tcp -m tcp --dport 7030 -j DNAT", said, re.MULTILINE)
    assert re.search(rf"10\.77\.0\.1:\d+ → {web}:80   what the container sees", said)


@pytest.mark.parametrize(
    ("options", "words", "sentence"),
    [
        ((), (), "publishes no port, so there is no way through one"),
        (("-p", "127.0.0.1:7031:80"), ("--from", "host"), "is published at 127.0.0.1 only, which is not reached"),
        (("-p", "7031:80"), ("--port", "7032"), "does not publish port 7032"),
        (("-p", "7031:80"), ("--from", "space"), "'space' is no place to start from"),
    ],
)
def test_where_no_way_leads(options: tuple[str, ...], words: tuple[str, ...], sentence: str) -> None:
    labkit("run", "-d", "--name", "one", *options, "busybox", "sleep", "100")
    refused = labkit("packet-walk", "one", *words, check=False)
    assert refused.returncode in (2, 5)
    assert sentence in refused.stderr


def test_a_port_without_a_listener_is_followed_too() -> None:
    labkit("run", "-d", "--name", "silent", "-p", "7033:80", "busybox", "sleep", "100")
    found = walk("silent")
    assert not found["connected"]
    assert found["error"] == "Connection refused"
    assert rules(found, "nat", "OUTPUT")
