"""What devices.py allows as a program that v2 asks: in the kernel's own machine language (kernel/bpf.py). Pure."""

from __future__ import annotations

from labkit.runtime.kernel import bpf

#: include/uapi/linux/bpf.h, BPF_DEVCG_*
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}


def program(rules: tuple[str, ...]) -> list[tuple[bytes, str]]:
    """v2's filter: pieces of a program, each with what it stands for. It answers 1 for allowed, 0 for EPERM.

    The kernel hands over a pointer to ``(access << 16 | kind, major, minor)``. Kind, access, major and minor are put
    into registers 2 to 5; a rule that does not match jumps to the next.
    """
    context, kind, access, major, minor = 1, 2, 3, 4, 5
    pieces = [
        (
            bpf.instruction(bpf.LOAD_WORD, kind, context, 0)
            + bpf.instruction(bpf.MOVE_REGISTER, access, kind)
            + bpf.instruction(bpf.AND, kind, number=0xFFFF)
            + bpf.instruction(bpf.SHIFT_RIGHT, access, number=16)
            + bpf.instruction(bpf.LOAD_WORD, major, context, 4)
            + bpf.instruction(bpf.LOAD_WORD, minor, context, 8),
            "read kind, access, major and minor number",
        )
    ]
    # What is denied comes first: the rule for everything is the last that is asked.
    for rule in sorted(rules, key=lambda rule: not rule.startswith("deny")):
        tests = _tests(rule, kind, access, major, minor)
        pieces.append((_if_all(tests) + _answer(0 if rule.startswith("deny") else 1), rule))
        if not tests:
            return pieces  # the kernel's verifier refuses what can never be reached
    return [*pieces, (_answer(0), "nothing else")]


def _tests(rule: str, kind: int, access: int, major: int, minor: int) -> list[tuple[bytes, int, int, int]]:
    """What must hold: (instructions before, operation of the jump that is taken if not, register, register or
    number).
    """
    *denies, words, numbers, letters = rule.split(" ")
    tests = []
    if words != "a":
        tests.append((b"", bpf.JUMP_IF_NOT, kind, _KINDS[words]))
    if letters != "rwm":
        # What is asked for, less what is not allowed, must be what is asked for; and no part of it may be denied.
        # Register 1 is free by now.
        mask = sum(_ACCESS[letter] for letter in letters)
        masked = bpf.instruction(bpf.MOVE_REGISTER, 1, access) + bpf.instruction(bpf.AND, 1, number=mask)
        tests.append((masked, bpf.JUMP_IF, 1, 0) if denies else (masked, bpf.JUMP_IF_NOT_REGISTER, 1, access))
    for register, number in zip((major, minor), numbers.split(":")):
        if number != "*":
            tests.append((b"", bpf.JUMP_IF_NOT, register, int(number)))
    return tests


def _if_all(tests: list[tuple[bytes, int, int, int]]) -> bytes:
    """Jumps over the answer, two instructions long, where a test fails."""
    code = b""
    for before, operation, register, other in reversed(tests):
        distance = len(code) // 8 + 2
        if operation == bpf.JUMP_IF_NOT_REGISTER:
            jump = bpf.instruction(operation, register, other, distance)
        else:
            jump = bpf.instruction(operation, register, offset=distance, number=other)
        code = before + jump + code
    return code


def _answer(value: int) -> bytes:
    return bpf.instruction(bpf.MOVE, 0, number=value) + bpf.instruction(bpf.EXIT)
