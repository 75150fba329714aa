from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConfigError
from labkit.runtime.oci import spec

RANGE = {"containerID": 0, "hostID": 5000, "size": 100}

MINIMAL: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}]},
}


def _with(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(MINIMAL)
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place.setdefault(step, {})
    place[last] = value
    return document


def test_the_minimum() -> None:
    parsed = spec.parse(MINIMAL, "/bundle")
    assert parsed.rootfs == "/bundle/rootfs"
    assert parsed.namespaces == {"pid": "", "net": "/run/netns/x"}
    assert parsed.process.args == ["sh"]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("process.args", [], "process.args names no program"),
        ("process.args", "sh", "process.args must be of type list"),
        ("process.args", ["a\0b"], "process.args must hold strings only"),
        ("process.cwd", "here", "process.cwd must be an absolute path"),
        ("process.user.uid", "root", "process.user.uid must be of type int"),
        ("process.user.uid", True, "process.user.uid must be of type int"),
        ("process.apparmorProfile", "x", "labkit does not support process.apparmorProfile"),
        ("linux.seccomp", {"defaultAction": "SCMP_ACT_NOTIFY"}, "labkit does not support SCMP_ACT_NOTIFY"),
        ("linux.namespaces", [{"type": "moon"}], "'moon', which is no kind of namespace"),
        ("mounts", [{"destination": ""}], "mounts[0].destination must name a place"),
        ("mounts", [{"destination": "/a\0b"}], "mounts[0].destination must be text, without a zero byte"),
        ("mounts", [{"destination": "/a\ud800"}], "mounts[0].destination must be text, without a zero byte"),
        ("mounts", [{"destination": "/a", "source": "/b", "options": ["bind", "idmap"]}], "nothing that says how"),
        ("mounts", [{"destination": "/a", "type": "tmpfs", "options": ["ridmap"]}], "which only a bind mount can do"),
        ("mounts", [{"destination": "/a", "uidMappings": [RANGE], "gidMappings": [RANGE]}], "without the option idmap"),
        ("mounts", [{"destination": "/a", "uidMappings": [RANGE]}], "must have both"),
        ("mounts", [{"destination": "/a", "options": ["bind"]}], "mounts[0].source is missing, and a bind mount"),
        ("mounts", [{"destination": "/a", "type": "proc", "options": ["tmpcopyup"]}], "which only a tmpfs can do"),
        ("mounts", [{"destination": "/a", "uidMappings": [{}]}], "mounts[0].uidMappings[0].containerID is missing"),
        ("linux.maskedPaths", ["/a", "b"], "linux.maskedPaths has 'b', which must be an absolute path"),
        ("linux.readonlyPaths", [""], "linux.readonlyPaths has '', which must be an absolute path"),
        ("linux.rootfsPropagation", "a\nb", "'a\\nb', which no mount can have"),
        ("linux.rootfsPropagation", "sideways", "'sideways', which no mount can have"),
        ("linux.devices", [{"path": "/dev/x", "type": "x"}], "'x', and must be c, b, u or p"),
        ("linux.devices", [{"path": "/dev/x", "type": "c"}], "linux.devices[0].major is missing"),
        ("linux.devices", [{"path": "dev/x", "type": "p"}], "must be an absolute path of a file"),
        ("linux.devices", [{"path": "/dev/..", "type": "p"}], "must be an absolute path of a file"),
        ("linux.devices", [{"path": "/x", "type": "b", "major": 1 << 12, "minor": 0}], "must be a device's numbers"),
        ("linux.devices", [{"path": "/x", "type": "p", "uid": -1}], "must be numbers of a user and a group"),
        ("hooks", {"poststop": [{"path": "x"}]}, "hooks.poststop[0].path must be an absolute path"),
        ("hooks", {"poststop": [{"path": "/x", "timeout": 0}]}, "timeout must be greater than zero"),
        ("hooks", {"poststop": [{"path": "/x", "Timeout": 0}]}, "timeout must be greater than zero"),
        ("annotations", {"a": 1}, "annotations must have names, and strings"),
        ("process.consoleSize", {"width": -1, "height": 1}, "process.consoleSize is no size of a terminal"),
        ("root", [], "root must be an object"),
    ],
)
def test_what_is_wrong_or_not_supported_is_named(path: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec.parse(_with(path, value), "/bundle")
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_mounts_and_nodes(tmp_path: Path) -> None:
    mounts = [
        {"destination": "proc", "type": "proc"},
        {"destination": "/a", "source": "data", "options": ["rbind", "ro", "x-mine"]},
        {"destination": "/b", "source": "/data", "type": "bind"},
        {"destination": "/b", "options": ["remount", "bind", "ro"]},
    ]
    document = _with("mounts", mounts)
    document["linux"]["devices"] = [{"path": "/dev/x", "type": "p", "fileMode": 0o10640, "gid": 4}]
    (tmp_path / "link").symlink_to("real")
    document["root"] = {"path": "link"}
    parsed = spec.parse(document, str(tmp_path))
    assert parsed.rootfs == str(tmp_path / "real")
    assert [(mount.destination, mount.kind, mount.source) for mount in parsed.mounts] == [
        ("/proc", "proc", ""),
        ("/a", "bind", str(tmp_path / "data")),
        ("/b", "bind", "/data"),
        ("/b", "remount", ""),
    ]
    assert parsed.mounts[2].options == ["bind"]
    assert parsed.devices == [spec.Device("/dev/x", "p", 0, 0, 0o640, 0, 4)]


def test_devices_become_the_list_of_what_is_allowed() -> None:
    rules = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"}]
    parsed = spec.parse(_with("linux.resources", {"devices": rules}), "/bundle")
    assert {"b 8:0 r", "c 1:3 rwm", "c 136:* rwm"} <= set(parsed.resources["devices"])
    bare = spec.parse(_with("linux.resources", {}), "/bundle")
    assert "c 1:3 rwm" in bare.resources["devices"], "no rules at all are not the same as all devices"


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"type": "c"}, "linux.resources.devices[0].allow is missing"),
        ({"allow": True, "type": "u"}, "devices[0].type is 'u', and must be a, b or c"),
        ({"allow": True, "type": "c", "major": 1 << 33}, "must be a device's numbers"),
        ({"allow": True, "access": "x"}, "devices[0].access is 'x'"),
    ],
)
def test_a_rule_of_devices_is_checked(rule: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec.parse(_with("linux.resources", {"devices": [rule]}), "/bundle")
    assert sentence in caught.value.message


def test_a_missing_property_is_named() -> None:
    with pytest.raises(ConfigError, match="root must be an object"):
        spec.parse({name: value for name, value in MINIMAL.items() if name != "root"}, "/bundle")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        [
            "process",
            "process.args",
            "process.env",
            "process.user",
            "root",
            "mounts",
            "linux",
            "linux.namespaces",
            "linux.resources",
            "linux.maskedPaths",
            "linux.devices",
            "linux.rootfsPropagation",
            "hostname",
            "ociVersion",
        ]
    ),
    json_values,
)
def test_no_value_anywhere_makes_anything_but_a_spec_or_a_config_error(path: str, value: object) -> None:
    try:
        spec.parse(_with(path, value), "/bundle")
    except ConfigError as error:
        refused = error.message
    else:
        return
    assert refused.startswith("config.json: ")


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*config\.json"):
        spec.load(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="is no JSON"):
        spec.load(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps([]))
    with pytest.raises(ConfigError, match="the document must be an object"):
        spec.load(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("com.example", {"a": 1}),
        ("linux.moon", True),
        ("process.a\nb", 1),
        ("hooks", {"prestop": [{"path": "/x"}]}),
        ("linux.resources", {"memory": {"brain": 1}, "moon": {}}),
        ("mounts", [{"destination": "/a", "type": "tmpfs", "colour": "red"}]),
        ("process.apparmorProfile", ""),
        ("linux.intelRdt", None),
    ],
)
def test_what_the_specification_does_not_know_is_ignored(path: str, value: object) -> None:
    """config.md, "Extensibility": no error for an unknown property; what is empty asks for nothing."""
    assert spec.parse(_with(path, value), "/bundle").process.args == ["sh"]
