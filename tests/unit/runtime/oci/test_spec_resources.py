from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import ConfigError
from labkit.runtime.oci.spec import resources
from labkit.runtime.text.document import Reader

WHOLE: dict[str, Any] = {
    "memory": {"limit": 1, "reservation": 2, "swap": 3, "kernel": -1, "kernelTCP": -1, "swappiness": 4,
               "disableOOMKiller": False, "useHierarchy": True, "checkBeforeUpdate": True},
    "cpu": {"shares": 1, "quota": 2, "burst": 3, "period": 4, "realtimeRuntime": 5, "realtimePeriod": 6, "cpus": "0",
            "mems": "0", "idle": 0},
    "pids": {"limit": 7},
    "blockIO": {"weight": 10, "leafWeight": 10,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 20}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 1}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 1}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
    "rdma": {"mlx5_1": {"hcaHandles": 1, "hcaObjects": 2}},
    "unified": {"memory.high": "1"},
}  # fmt: skip


def read(document: Any, **named: bool) -> dict[str, Any]:
    return resources.read(Reader(document, "config.json", "linux.resources"), **named)


def test_every_property_is_read() -> None:
    assert read(WHOLE, default_devices=False) == WHOLE
    assert read({}, default_devices=False) == {}
    assert read(dict.fromkeys(WHOLE), default_devices=False) == {}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"cpu": {"shares": -1}}, "linux.resources.cpu.shares is -1, and must be from 0"),
        ({"cpu": {"shares": 1 << 64}}, "linux.resources.cpu.shares is"),
        ({"cpu": {"cpus": 1}}, "linux.resources.cpu.cpus must be of type str"),
        ({"blockIO": {"weight": 1001}}, "linux.resources.blockIO.weight is 1001, and must be from 0 to 1000"),
        ({"blockIO": {"weightDevice": [{"minor": 1}]}}, "linux.resources.blockIO.weightDevice[0].major is missing"),
        ({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}, "pageSize is '../x', and must be like"),
        ({"rdma": {"a": {}}}, "linux.resources.rdma.a needs hcaHandles or hcaObjects"),
        ({"unified": {"../x.y": "1"}}, 'unified resource "../x.y" must be a file name (no slashes)'),
        ({"unified": {"memory": "1"}}, 'unified resource "memory" must be in the form CONTROLLER.PARAMETER'),
        ({"unified": {"a.b": 1}}, "linux.resources.unified.a.b must be of type str"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(document)
    assert sentence in caught.value.message


def test_the_letter_a_in_an_access_is_taken_and_means_nothing() -> None:
    rules = [
        {"allow": True, "type": "c", "major": 10, "minor": 7, "access": "rwa"},
        {"allow": True, "type": "c", "major": 10, "minor": 8, "access": "a"},
        {"allow": False, "access": "rwa"},
        {"allow": True, "type": "c", "major": 10, "minor": 9, "access": "rwa"},
    ]
    allowed = read({"devices": rules})["devices"]
    assert [rule for rule in allowed if rule.startswith("c 10:")] == ["c 10:9 rw"]
    with pytest.raises(ConfigError, match="access is 'x', and must be of r, w and m"):
        read({"devices": [{"allow": True, "access": "x"}]})


def test_names_in_other_capitals_are_the_same_names() -> None:
    assert read({"CPU": {"Cpus": "0", "shares": 2}}, default_devices=False) == {"cpu": {"cpus": "0", "shares": 2}}
    pages = {"hugepageLimits": [{"pagesize": "2MB", "limit": 0}]}
    assert read(pages, default_devices=False) == {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
    ordered = resources.in_order({"CPU": {"Cpus": "0"}, "Memory": None, "unified": {"A.b": "1"}, "other": 1})
    assert ordered == {"cpu": {"cpus": "0"}, "memory": None, "unified": {"A.b": "1"}, "other": 1}
