"""The rules of devices, and v2's program: run here by a machine of thirty lines, instruction by instruction."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.runtime.cgroups import deviceprogram, devices
from labkit.runtime.cgroups.devices import ListDevices, ProgramDevices
from labkit.runtime.oci import defaults

NOTHING = {"allow": False, "access": "rwm"}
DEFAULT = devices.allowed([NOTHING, *defaults.ALLOWED_DEVICES])


def rule(allow: bool, kind: str, major: int = -1, minor: int = -1, access: str = "rwm") -> dict[str, Any]:
    return {"allow": allow, "type": kind, "major": major, "minor": minor, "access": access}


def ask(rules: tuple[str, ...], kind: str, major: int, minor: int, access: str) -> bool:
    """What the kernel would be told. Only the instructions that the filter uses; anything else is a KeyError."""
    code = b"".join(piece for piece, _ in deviceprogram.program(rules))
    wanted = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("=III", wanted << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = [0] * 11
    at = 0
    while True:
        operation, both, offset, number = struct.unpack_from("<BBhi", code, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        if operation == 0x95:
            return bool(registers[0])
        if operation in (0x15, 0x55, 0x5D):
            other = registers[source] if operation == 0x5D else number
            at += offset if (registers[target] == other) is (operation == 0x15) else 0
            continue
        registers[target] = {
            0x61: lambda: struct.unpack_from("=I", context, offset)[0],  # noqa: B023 - called at once
            0x54: lambda: registers[target] & number,  # noqa: B023
            0x74: lambda: registers[target] >> number,  # noqa: B023
            0xB4: lambda: number,  # noqa: B023
            0xBC: lambda: registers[source],  # noqa: B023
        }[operation]()


def test_the_default_list_is_runcs() -> None:
    assert (
        *("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"),
        *("c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"),
    ) == DEFAULT


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "answer"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 1, 3, "r", True),
        ("b", 1, 3, "r", False),
        ("c", 1, 11, "r", False),
        ("c", 1, 11, "m", True),
        ("c", 1, 11, "rm", False),
        ("b", 254, 0, "r", False),
        ("b", 254, 0, "m", True),
        ("c", 136, 7, "rw", True),
        ("c", 5, 1, "w", False),
    ],
)
def test_the_program_answers_as_the_list_says(kind: str, major: int, minor: int, access: str, answer: bool) -> None:
    assert ask(DEFAULT, kind, major, minor, access) is answer


def test_only_what_is_allowed_of_a_device() -> None:
    rules = devices.allowed([NOTHING, rule(True, "b", 8, 0, "r")])
    assert ask(rules, "b", 8, 0, "r")
    assert not ask(rules, "b", 8, 0, "rw")
    assert not ask(rules, "b", 8, 1, "r")


def test_rules_apply_in_their_order() -> None:
    assert devices.allowed([NOTHING, rule(True, "c", 1, 1, "r"), rule(True, "c", 1, 1, "w")]) == ("c 1:1 rw",)
    assert devices.allowed([NOTHING, rule(True, "c", 1, 1), rule(False, "c", 1, 1, "w")]) == ("c 1:1 rm",)
    assert devices.allowed([NOTHING, rule(True, "c", 1, 1), rule(False, "c", 1, 1)]) == ()
    assert devices.allowed([NOTHING, rule(True, "c", 1, 1), NOTHING]) == ()
    assert devices.allowed([NOTHING, rule(True, "c", 1), rule(True, "a")]) == (devices.EVERYTHING,)


def test_nothing_is_allowed_to_begin_with() -> None:
    assert devices.allowed([]) == ()
    assert devices.allowed([rule(False, "b", 8, 0)]) == ()


def test_all_but_some() -> None:
    rules = devices.allowed([rule(True, "a"), rule(False, "b", 8, 0), rule(False, "c", 10, -1, "w")])
    assert rules == (devices.EVERYTHING, "deny b 8:0 rwm", "deny c 10:* w")
    assert not ask(rules, "b", 8, 0, "r")
    assert ask(rules, "b", 8, 1, "rwm")
    assert ask(rules, "c", 10, 3, "r")
    assert not ask(rules, "c", 10, 3, "rw"), "a part of what is asked for is denied"
    assert devices.allowed([rule(True, "a"), rule(False, "b", 8, 0), rule(True, "b", 8, 0, "r")])[1] == "deny b 8:0 wm"
    assert ListDevices("/d/x", rules).describe().splitlines() == [
        "echo a > /d/x/devices.allow",
        "echo 'b 8:0 rwm' > /d/x/devices.deny",
        "echo 'c 10:* w' > /d/x/devices.deny",
    ]


@given(
    rules=st.lists(
        st.builds(
            rule,
            st.booleans(),
            st.sampled_from("abcc"),
            st.sampled_from([-1, 1, 2]),
            st.sampled_from([-1, 1, 2]),
            st.sampled_from(["r", "w", "m", "rw", "rwm"]),
        ),
        max_size=6,
    ),
    kind=st.sampled_from("bc"),
    major=st.integers(1, 3),
    minor=st.integers(1, 3),
    access=st.sampled_from(["r", "w", "m", "rw", "rwm"]),
)
def test_the_program_is_v1s_rule_for_any_list(
    rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: str
) -> None:
    """security/device_cgroup.c in ten lines: an exception of an allowing list must hold all that is asked for, one of
    a denying list none of it.
    """

    def matches(each: str) -> bool:
        words, numbers, _ = each.split(" ")
        pairs = zip(numbers.split(":"), (major, minor), strict=True)
        return words == kind and all(number in ("*", str(asked)) for number, asked in pairs)

    found = devices.allowed(rules)
    if devices.EVERYTHING in found:
        denied = [each[len("deny ") :] for each in found[1:]]
        expected = not any(matches(each) and {*access} & {*each.split(" ")[2]} for each in denied)
    else:
        expected = any(matches(each) and {*access} <= {*each.split(" ")[2]} for each in found)
    assert ask(found, kind, major, minor, access) is expected


def test_an_empty_list_and_the_whole() -> None:
    assert not ask((), "c", 1, 3, "r")
    everything = (devices.EVERYTHING, "c 1:3 rwm")
    assert ask(everything, "b", 8, 0, "rwm")
    assert len(deviceprogram.program(everything)) == 2, (
        "the kernel refuses a program with a part that cannot be reached"
    )


def test_both_versions_describe_themselves_for_a_shell() -> None:
    rules = ("c 1:3 rwm",)
    assert ListDevices("/d/x", rules).describe() == "echo a > /d/x/devices.deny\necho 'c 1:3 rwm' > /d/x/devices.allow"
    lines = ProgramDevices("/u/x", rules).describe().splitlines()
    assert lines[0].startswith("perl -e '")
    assert lines[0].endswith("' /u/x << 'PROGRAM'")
    assert [line.partition("  ")[2] for line in lines[1:-1]][1:] == ["c 1:3 rwm", "nothing else"]
    assert bytes.fromhex("".join(line.split()[0] for line in lines[1:-1])) == b"".join(
        code for code, _ in deviceprogram.program(rules)
    )
