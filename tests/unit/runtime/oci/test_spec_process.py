from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConfigError
from labkit.runtime.oci.spec import process
from labkit.runtime.text.document import Reader

PROCESS: dict[str, Any] = {"args": ["sh"], "cwd": "/", "env": ["PATH=/bin"]}


def _read(**more: object) -> process.Process:
    return process.read(Reader({**PROCESS, **more}, "config.json", "process"))


def test_all_that_a_process_can_have() -> None:
    read = _read(
        user={"uid": 1000, "gid": 100, "umask": 0o077, "additionalGids": [5]},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 10, "hard": (1 << 64) - 1}],
        oomScoreAdj=-5,
        noNewPrivileges=True,
        apparmorProfile="",
        ioPriority=None,
    )
    assert (read.uid, read.gid, read.umask, read.additional_gids) == (1000, 100, 0o077, [5])
    assert read.rlimits == [("RLIMIT_NOFILE", 10, (1 << 64) - 1)]
    assert read.oom_score_adj == -5
    assert read.no_new_privileges


def test_what_is_not_given_is_not_set() -> None:
    read = _read(oomScoreAdj=None)
    assert read.umask is None
    assert read.oom_score_adj is None
    assert _read(oomScoreAdj=0).oom_score_adj == 0


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"rlimits": [{"type": "RLIMIT_FLY", "soft": 1, "hard": 1}]}, "rlimits[0].type is 'RLIMIT_FLY'"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2}, "process.rlimits names RLIMIT_CPU twice"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}, "rlimits[0].soft is 2, above the hard limit 1"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1 << 64}]}, "must be from 0 to 2^64-1"),
        ({"oomScoreAdj": 1001}, "process.oomScoreAdj is 1001, and must be from -1000 to 1000"),
        ({"user": {"umask": 0o1000}}, "process.user.umask is 512"),
        ({"user": {"uid": -1}}, "process.user.uid is -1"),
        ({"user": {"gid": (1 << 32) - 1}}, "process.user.gid is 4294967295"),
        ({"user": {"additionalGids": [1 << 33]}}, "process.user.additionalGids must hold group numbers"),
        ({"env": ["A"]}, "process.env holds 'A', which is not NAME=VALUE"),
        ({"selinuxLabel": "x"}, "labkit does not support process.selinuxLabel"),
        ({"scheduler": {"policy": "SCHED_BATCH"}}, "labkit does not support process.scheduler"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}, "labkit does not support process.ioPriority"),
    ],
)
def test_what_cannot_be_is_refused_by_name(more: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(**more)
    assert sentence in caught.value.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
NAMES = ["user", "rlimits", "oomScoreAdj", "capabilities", "env", "noNewPrivileges", "scheduler"]


@given(st.sampled_from(NAMES), json_values | st.lists(st.dictionaries(st.sampled_from(["type", "soft"]), json_values)))
def test_any_value_is_read_or_refused(name: str, value: object) -> None:
    try:
        _read(**{name: value})
    except ConfigError as error:
        refused = error.message
    else:
        return
    assert refused.startswith("config.json: ")
    assert "\n" not in refused
