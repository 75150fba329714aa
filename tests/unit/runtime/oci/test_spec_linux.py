from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConfigError
from labkit.runtime.oci import spec
from labkit.runtime.oci.spec.namespace import IdMapping

MINIMAL: dict[str, Any] = {"process": {"args": ["sh"], "cwd": "/"}, "root": {"path": "rootfs"}}
KINDS = ["pid", "network", "mount", "ipc", "uts", "user", "time", "cgroup"]


def _parse(kinds: str = "", top: dict[str, Any] | None = None, **linux: object) -> spec.Spec:
    document = {**copy.deepcopy(MINIMAL), **(top or {})}
    document["linux"] = {"namespaces": [{"type": kind} for kind in kinds.split()], **linux}
    return spec.parse(document, "/bundle")


MAPPING = {"containerID": 0, "hostID": 100000, "size": 65536}


def test_a_user_and_a_time_namespace() -> None:
    parsed = _parse(
        "user time",
        uidMappings=[MAPPING],
        gidMappings=[MAPPING],
        timeOffsets={"boottime": {"secs": -5, "nanosecs": 7}, "monotonic": {"secs": 1}},
    )
    assert parsed.uid_mappings == parsed.gid_mappings == [IdMapping(0, 100000, 65536)]
    assert parsed.time_offsets == {"boottime": (-5, 7), "monotonic": (1, 0)}


def test_parameters_of_namespaces() -> None:
    parsed = _parse(
        "ipc network uts",
        sysctl={"kernel.shmmax": "1", "fs.mqueue.msg_max": "2", "net.ipv4.conf.eth0/1.forwarding": "1", "net/core": ""},
    )
    assert parsed.sysctl == {
        "kernel/shmmax": "1",
        "fs/mqueue/msg_max": "2",
        "net/ipv4/conf/eth0.1/forwarding": "1",
        "net/core": "",
    }


@pytest.mark.parametrize(
    ("kinds", "linux", "sentence"),
    [
        ("pid pid", {}, "namespaces[1].type is 'pid' for the second time"),
        ("user", {"uidMappings": [MAPPING]}, "linux.gidMappings is missing, which a new user namespace needs"),
        ("", {"uidMappings": [MAPPING]}, "linux.uidMappings is given without a user namespace"),
        ("user", {"uidMappings": [{**MAPPING, "size": 0}]}, "uidMappings[0] is no range"),
        ("user", {"uidMappings": [{**MAPPING, "hostID": (1 << 32) - 2}]}, "uidMappings[0] is no range"),
        ("", {"timeOffsets": {"boottime": {"secs": 1}}}, "timeOffsets is given without a new time namespace"),
        ("time", {"timeOffsets": {"boottime": {"nanosecs": 1 << 40}}}, "linux.timeOffsets.boottime must be seconds"),
        ("time", {"timeOffsets": {"realtime": {"secs": 1}}}, "labkit does not support linux.timeOffsets.realtime"),
        ("", {"sysctl": {"kernel.shmmax": "1"}}, "linux.sysctl.kernel.shmmax would change the machine's"),
        ("", {"sysctl": {"net.ipv4.ip_forward": "1"}}, "would change the machine's"),
        ("uts", {"sysctl": {"kernel.hostname": "x"}}, "kernel.hostname conflicts with the property hostname"),
        ("ipc", {"sysctl": {"kernel.core_pattern": "|/x"}}, "is a parameter of the whole machine"),
        ("network", {"sysctl": {"net.../../kernel.core_pattern": "|/x"}}, "is no kernel parameter"),
        ("network", {"sysctl": {"net/../kernel/core_pattern": "|/x"}}, "is no kernel parameter"),
        ("", {"personality": {"domain": "BSD"}}, "linux.personality.domain is 'BSD'"),
        ("", {"personality": {"domain": "LINUX", "flags": ["x"]}}, "linux.personality.flags must be empty"),
        ("", {"intelRdt": {"closID": "x"}}, "labkit does not support linux.intelRdt"),
    ],
)
def test_what_cannot_be_is_refused_by_name(kinds: str, linux: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _parse(kinds, **linux)
    assert sentence in caught.value.message


def test_names_of_the_host_are_not_changed() -> None:
    for name in ("hostname", "domainname"):
        assert _parse("uts", {name: "x"})
        with pytest.raises(ConfigError, match=f"{name} is given without a uts namespace"):
            _parse("", {name: "x"})


def test_two_names_of_the_domain_must_be_the_same() -> None:
    assert _parse("uts", {"domainname": "x"}, sysctl={"kernel.domainname": "x"}).domainname == "x"
    with pytest.raises(ConfigError, match=r"kernel\.domainname conflicts with the property domainname"):
        _parse("uts", {"domainname": "x"}, sysctl={"kernel.domainname": "y"})


def test_a_path_of_a_namespace_is_absolute() -> None:
    document = copy.deepcopy(MINIMAL)
    document["linux"] = {"namespaces": [{"type": "network", "path": "proc/1/ns/net"}]}
    with pytest.raises(ConfigError, match="path must be an absolute path"):
        spec.parse(document, "/bundle")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
NAMES = ["namespaces", "uidMappings", "gidMappings", "timeOffsets", "sysctl", "personality", "seccomp"]


@given(st.sampled_from(NAMES), json_values | st.lists(st.dictionaries(st.just("size"), json_values), max_size=2))
def test_any_value_is_read_or_refused(name: str, value: object) -> None:
    document = copy.deepcopy(MINIMAL)
    document["linux"] = {"namespaces": [{"type": kind} for kind in KINDS], name: value}
    try:
        spec.parse(document, "/bundle")
    except ConfigError as error:
        refused = error.message
    else:
        return
    assert refused.startswith("config.json: ")
    assert "\n" not in refused


@given(st.text())
def test_no_name_of_a_parameter_leaves_its_directory(name: str) -> None:
    try:
        parsed = _parse("ipc network uts", sysctl={name: "1"})
    except ConfigError:
        return
    assert all(".." not in path.split("/") and not path.startswith("/") for path in parsed.sysctl)
