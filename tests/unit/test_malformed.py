"""Whatever is written in config.json, in a state file or on a command line: a sentence, and never a traceback."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labkit.runtime.std.dataclasses import asdict

if sys.platform == "win32":
    pytest.skip("the guest side is Linux's", allow_module_level=True)

from labkit.errors import LabkitError, one_line
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cli import listing, runflags, verb_ps
from labkit.runtime.cli.flags import VerbCall, parse
from labkit.runtime.cli.main import main
from labkit.runtime.cli.oci import spec as oci_spec
from labkit.runtime.cli.oci.main import GLOBAL
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.oci import plan, spec, state
from labkit.runtime.text import textfile
from labkit.runtime.text.document import Reader


def bounded(examples: int) -> settings:
    """So many in a whole run; in the daily one the share that its profile says (conftest.py)."""
    share = examples * settings().max_examples // 100
    return settings(max_examples=share, suppress_health_check=list(HealthCheck))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["", "/", "..", "/proc", "CAP_SYS_ADMIN", "pid", "network", "0:0", "-1", "rw", "\0", "a\nb", "bind"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def _rich() -> dict[str, Any]:
    """runc's own document, with something in each section that it leaves empty."""
    document = oci_spec.document()
    document["hooks"] = {"poststop": [{"path": "/bin/true", "args": ["true"], "env": ["A=1"], "timeout": 3}]}
    document["annotations"] = {"a": "b"}
    document["mounts"].append({"destination": "/b", "type": "bind", "source": "/tmp", "options": ["rbind", "ro"]})
    linux = document["linux"]
    linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    linux["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}]
    linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}
        ],
    }
    linux["resources"] |= {
        "memory": {"limit": 1 << 26, "swap": 1 << 27, "reservation": 1 << 20},
        "cpu": {"shares": 100, "quota": 1000, "period": 10000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 7},
        "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 100}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
        "network": {"classID": 1, "priorities": [{"name": "lo", "priority": 1}]},
        "unified": {"memory.high": "1000000"},
    }
    document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
    return document


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        found += _places(part, (*path, key))
    return found


@st.composite
def damaged(draw: st.DrawFn, right: dict[str, Any]) -> Any:
    """The document with one to three places that hold something else, or nothing."""
    document = copy.deepcopy(right)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(_places(right)))
        here = document
        try:
            for key in way:
                here = here[key]
            if draw(st.booleans()):
                here[last] = draw(VALUES)
            else:
                del here[last]
        except (KeyError, IndexError, TypeError):
            continue
    return document


def _a_sentence(error: LabkitError) -> None:
    assert error.message
    # What was given may be quoted in it; what we say ourselves is in one line.
    assert one_line(error.message).isprintable()
    assert "Traceback" not in error.message
    assert "\n" not in error.hint


HERE = Hierarchies(v2="/sys/fs/cgroup")


@bounded(9000)
@given(damaged(_rich()))
def test_any_config_json(document: Any) -> None:
    try:
        plan.make(spec.parse(document, "/tmp"), HERE)
    except LabkitError as error:
        _a_sentence(error)


@bounded(2000)
@given(st.one_of(st.binary(max_size=60), damaged(_rich()).map(lambda value: json.dumps(value).encode()[:-3])))
def test_any_bytes(text: bytes) -> None:
    try:
        Reader.parse(text, "config.json")
    except LabkitError as error:
        _a_sentence(error)


CONTAINER = Container(
    "0" * 64,
    "box",
    "busybox:latest",
    "f" * 64,
    ["sh"],
    1.0,
    Options("busybox"),
    endpoints={"labkit0": {"address": "x"}},
)


@bounded(2500)
@example({**asdict(CONTAINER), "created": float("nan")}, asdict(State("running", 1, 2)))
@example({**asdict(CONTAINER), "created": 1e30}, asdict(State("running", 1, 2)))
@given(damaged(asdict(CONTAINER)), damaged(asdict(State("running", 1, 2))))
def test_any_record_of_the_engine(tmp_path_factory: pytest.TempPathFactory, container: Any, written: Any) -> None:
    place = tmp_path_factory.getbasetemp()
    for name, value in (("container.json", container), ("state.json", written)):
        textfile.write(str(place / name), json.dumps(value))
    try:
        read = record.read(str(place / "container.json"), record.from_record)
        now = record.read(str(place / "state.json"), record.state_from_record)
        fields = verb_ps._fields(read, now, whole=False, size=False)
        listing.text("", [fields], verb_ps._HEADINGS, verb_ps._COLUMNS)
    except LabkitError as error:
        _a_sentence(error)


OCI = state.BundleContainer("x", "/r", "/b", "/b/rootfs", "now", {}, "/x", True)


@bounded(2500)
@given(damaged(asdict(OCI)))
def test_any_state_of_the_low_level_runtime(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    root = tmp_path_factory.getbasetemp() / "root"
    (root / "x").mkdir(parents=True, exist_ok=True)
    (root / "x" / "state.json").write_text(json.dumps(document))
    try:
        state.load(str(root), "x").oci_state("stopped")
    except LabkitError as error:
        _a_sentence(error)


def _words() -> st.SearchStrategy[list[str]]:
    known = [f"--{name}" for option in runflags.OPTIONS for name in option.names if len(name) > 1]
    odd = st.sampled_from(
        ["", "-", "--", "-p", "-v", "-e", "-it", "80:80", "1-2", ":::", "host", "container:", "64m", "\0"]
    )
    # Programs are only asked for where they are; everything else is read and not done.
    return st.lists(st.one_of(st.sampled_from(known), odd, st.text(max_size=6)), max_size=6)


@bounded(5000)
@given(_words())
def test_any_flags(words: list[str]) -> None:
    for known in (runflags.OPTIONS, GLOBAL):
        try:
            options, arguments = parse(known, words, stop_at_first=True)
            if known is runflags.OPTIONS and arguments:
                runflags.wanted(VerbCall(options, arguments, ["run", *words]))
        except LabkitError as error:
            _a_sentence(error)


def test_the_programs_answer_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--no-such-flag"]) == 125
    assert len(capsys.readouterr().err.splitlines()) == 2
