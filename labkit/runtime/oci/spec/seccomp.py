"""The profile of allowed system calls (config-linux.md, "Seccomp"), read and checked."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.text.document import Reader

#: Actions that labkit can compile; SCMP_ACT_NOTIFY needs an agent that answers, which labkit has not.
ACTIONS = tuple(f"SCMP_ACT_{name}" for name in "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG".split())
OPERATORS = tuple(f"SCMP_CMP_{name}" for name in "NE LT LE EQ GE GT MASKED_EQ".split())
ARCHITECTURES = {
    f"SCMP_ARCH_{name.upper()}": name
    for name in (
        "x86 x86_64 x32 arm aarch64 loongarch64 m68k mips mips64 mips64n32 mipsel mipsel64 mipsel64n32 parisc parisc64 "
        "ppc ppc64 ppc64le riscv64 s390 s390x sh sheb"
    ).split()
}
FLAGS = ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")

_EPERM = 1
_U64 = 1 << 64


@dataclass(frozen=True)
class Comparison:
    """One condition on an argument of a call; ``mask`` is for SCMP_CMP_MASKED_EQ alone."""

    index: int
    operator: str
    value: int
    mask: int = 0


@dataclass(frozen=True)
class Rule:
    """What happens at a call of one of these names, if all conditions hold."""

    names: list[str]
    action: str
    number: int
    """The errno of SCMP_ACT_ERRNO, or the message of SCMP_ACT_TRACE."""
    comparisons: list[Comparison] = field(default_factory=list)


@dataclass(frozen=True)
class Profile:
    """A whole profile."""

    default_action: str
    default_number: int
    architectures: list[str]
    """libseccomp's names, as x86_64; the machine's own is always among those that are filtered."""
    flags: list[str] | None
    """None where the profile is silent about them, and the runtime chooses."""
    rules: list[Rule] = field(default_factory=list)


def read(reader: Reader) -> Profile:
    """The object ``linux.seccomp``."""
    action, number = _action(reader, "defaultAction", "defaultErrnoRet")
    flags = reader.strings("flags") if reader.get("flags") is not None else None
    reader.strings("flags")  # it counts as asked for
    profile = Profile(
        default_action=action,
        default_number=number,
        architectures=[
            ARCHITECTURES[_one_of(name, ARCHITECTURES, reader.where("architectures"))]
            for name in reader.strings("architectures")
        ],
        flags=flags,
        rules=[_rule(item) for item in reader.children("syscalls")],
    )
    for flag in flags or []:
        _one_of(flag, FLAGS, reader.where("flags"))
    reader.refuse("listenerPath", "listenerMetadata")
    return profile


def _rule(reader: Reader) -> Rule:
    names = reader.strings("names")
    if not names or not all(names):
        raise ConfigError(f"config.json: {reader.where('names')} must name at least one system call")
    action, number = _action(reader, "action", "errnoRet")
    return Rule(names, action, number, [_comparison(item) for item in reader.children("args")])


def _comparison(reader: Reader) -> Comparison:
    index = reader.value("index", int)
    first = reader.value("value", int)
    second = reader.value("valueTwo", int, 0)
    operator = _one_of(reader.value("op", str), OPERATORS, reader.where("op"))
    if not 0 <= index <= 5:
        raise ConfigError(f"config.json: {reader.where('index')} is {index}: a call has arguments 0 to 5")
    if not (0 <= first < _U64 and 0 <= second < _U64):
        raise ConfigError(f"config.json: {reader.where('value')} and valueTwo must be from 0 to 2^64-1")
    if operator == "SCMP_CMP_MASKED_EQ":
        return Comparison(index, operator, second, mask=first)
    return Comparison(index, operator, first)


def _action(reader: Reader, name: str, number_name: str) -> tuple[str, int]:
    """An action and the number that belongs to it: EPERM where it has none."""
    word = reader.value(name, str)
    number = reader.value(number_name, int, _EPERM)
    if word == "SCMP_ACT_NOTIFY":
        raise ConfigError(
            f"config.json: labkit does not support SCMP_ACT_NOTIFY ({reader.where(name)})",
            "take the rule out, or use another runtime",
        )
    _one_of(word, ACTIONS, reader.where(name))
    # Larger numbers do not fit into the filter's answer; the kernel would cut an errno to MAX_ERRNO, 4095, silently.
    highest = 0xFFFF if word == "SCMP_ACT_TRACE" else 4095
    if not 0 <= number <= highest:
        raise ConfigError(f"config.json: {reader.where(number_name)} is {number}, and must be from 0 to {highest}")
    return word, number


def _one_of(word: str, words: tuple[str, ...] | dict[str, str], where: str) -> str:
    if word not in words:
        raise ConfigError(f"config.json: {where} is {word!r}, which is none of {', '.join(words)}")
    return word
