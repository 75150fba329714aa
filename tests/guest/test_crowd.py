"""Many containers at once, started and stopped by commands side by side: nobody gets what another has."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import labkit, picture

pytestmark = [pytest.mark.root, pytest.mark.thorough, pytest.mark.timeout(1500)]

SIDE_BY_SIDE = 16


def _in_turns(calls: Iterable[list[str]]) -> None:
    """Sixteen commands at any time; each must succeed."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for _ in pool.map(lambda words: labkit(*words), calls):
            pass


def test_200_containers_by_16_processes(in_emulation: bool) -> None:
    count = 24 if in_emulation else 200
    before = picture()
    names = [f"crowd{number}" for number in range(count)]
    run = ["run", "-d", "--memory", "32m", "--pids-limit", "20"]
    _in_turns(
        [*run, "-p", f"{20000 + n}:80", "--name", name, "busybox", "sleep", "900"] for n, name in enumerate(names)
    )
    try:
        known = json.loads(labkit("ps", "--json").stdout)
        assert sorted(container["name"] for container in known) == sorted(names)
        assert len({container["address"] for container in known}) == count
        ports = {port["host_port"] for container in known for port in container["ports"]}
        assert ports == {20000 + number for number in range(count)}
        assert {container["state"]["status"] for container in known} == {"running"}
    finally:
        _in_turns(["stop", "-t", "0", *names[number::SIDE_BY_SIDE]] for number in range(SIDE_BY_SIDE))
    assert labkit("ps", "-q").stdout == ""
    labkit("rm", *names)
    assert labkit("gc").stdout == "nothing to clean up\n"
    assert picture() == before
