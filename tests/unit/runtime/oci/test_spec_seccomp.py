from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConfigError
from labkit.runtime.oci.spec import seccomp
from labkit.runtime.text.document import Reader

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "architectures": ["SCMP_ARCH_X86_64"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ],
}


def _read(document: dict[str, Any]) -> seccomp.Profile:
    return seccomp.read(Reader(document, "config.json", "linux.seccomp"))


def test_a_whole_profile() -> None:
    profile = _read(PROFILE)
    assert (profile.default_action, profile.default_number) == ("SCMP_ACT_ERRNO", 38)
    assert profile.architectures == ["x86_64"]
    assert profile.flags == ["SECCOMP_FILTER_FLAG_LOG"]
    first, second = profile.rules
    assert first.names == ["read", "write"]
    assert second.comparisons == [seccomp.Comparison(0, "SCMP_CMP_MASKED_EQ", 0, mask=2114060288)]


def test_silence_about_flags_is_no_empty_list() -> None:
    assert _read({"defaultAction": "SCMP_ACT_ALLOW"}).flags is None
    assert _read({"defaultAction": "SCMP_ACT_ALLOW", "flags": []}).flags == []


RULE: dict[str, Any] = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
ARGUMENT: dict[str, Any] = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "labkit does not support SCMP_ACT_NOTIFY (linux.seccomp.defaultAction)"),
        ({"defaultAction": "SCMP_ACT_FLY"}, "linux.seccomp.defaultAction is 'SCMP_ACT_FLY', which is none of"),
        ({"defaultErrnoRet": 4096}, "linux.seccomp.defaultErrnoRet is 4096"),
        ({"architectures": ["SCMP_ARCH_Z80"]}, "linux.seccomp.architectures is 'SCMP_ARCH_Z80'"),
        ({"flags": ["SECCOMP_FILTER_FLAG_FLY"]}, "linux.seccomp.flags is 'SECCOMP_FILTER_FLAG_FLY'"),
        ({"listenerPath": "/x"}, "labkit does not support linux.seccomp.listenerPath"),
        ({"syscalls": [{**RULE, "names": []}]}, "syscalls[0].names must name at least one system call"),
        ({"syscalls": [{**RULE, "names": [""]}]}, "syscalls[0].names must name at least one system call"),
        ({"syscalls": [{**RULE, "args": [{**ARGUMENT, "index": 6}]}]}, "args[0].index is 6"),
        ({"syscalls": [{**RULE, "args": [{**ARGUMENT, "op": "SCMP_CMP_X"}]}]}, "args[0].op is 'SCMP_CMP_X'"),
        ({"syscalls": [{**RULE, "args": [{**ARGUMENT, "value": -1}]}]}, "args[0].value and valueTwo must be"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(more: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read({**PROFILE, **more})
    assert sentence in caught.value.message


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_CMP_EQ", "read", ""]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["names", "action", "args", "index", "op", "value", "errnoRet"]), children, max_size=5
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*PROFILE, "listenerMetadata"]), anything))
def test_any_profile_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        _read({**PROFILE, **document})
    except ConfigError as error:
        refused = error.message
    else:
        return
    assert refused.startswith("config.json: ")
    assert "\n" not in refused
