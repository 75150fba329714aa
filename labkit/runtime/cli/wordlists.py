"""What is written as a list or by a name on a command line: labels, variables, limits of a process. Pure but for the
files that it is told to read.
"""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.kernel.process import LIMITS
from labkit.runtime.text import textfile

_HINT = "a text file in UTF-8, one NAME=VALUE a line"

#: No limit at all (RLIM_INFINITY).
_UNLIMITED = (1 << 64) - 1


def labels(given: list[str], files: list[str]) -> dict[str, str]:
    """Those of the files, then those given; a later one wins. A name alone has an empty value."""
    found = {}
    for text in [*[line for path in files for line in _lines("--label-file", path)], *given]:
        name, _, value = text.partition("=")
        if not name.strip() or "\0" in text:
            raise UsageError(f"the label '{text}' has no name", "write NAME=VALUE")
        found[name] = value
    return found


def variables(files: list[str]) -> list[str]:
    """``--env-file``: lines NAME=VALUE, or NAME for our own value of it; no quotes, as with docker."""
    found = []
    for path in files:
        for line in _lines("--env-file", path):
            name, equals, _ = line.partition("=")
            if not name or any(letter.isspace() for letter in name):
                raise UsageError(f"'{name}' in {path} is no variable's name", "write NAME=VALUE, one a line")
            if equals:
                found.append(line)
            elif name in os.environ:
                found.append(f"{name}={os.environ[name]}")
    return found


def _lines(flag: str, path: str) -> list[str]:
    """Those that are neither empty nor comments; blanks before the first letter do not count."""
    what = f"{flag} {path}"
    try:
        text = textfile.read_strictly(path)
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}", _HINT) from None
    except ValueError as error:  # or a path with a zero byte
        raise UsageError(f"{what} cannot be read: {error}", _HINT) from None
    if "\0" in text:
        raise UsageError(f"{what} holds a zero byte", _HINT)
    # By \n alone: str.splitlines() would cut a value in two at other letters, U+2028 among them.
    lines = [line.lstrip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def ulimit(text: str) -> str:
    """``nofile=1024:2048`` as ``RLIMIT_NOFILE=1024:2048``; one number is both, -1 is no limit."""
    name, equals, numbers = text.partition("=")
    full = f"RLIMIT_{name.upper()}"
    if full not in LIMITS or not equals:
        names = ", ".join(known[len("RLIMIT_") :].lower() for known in LIMITS)
        raise UsageError(f"--ulimit '{text}' names no limit", f"write NAME=SOFT[:HARD], with one of {names}")
    soft, _, hard = numbers.partition(":")
    limits = [_limit(text, number) for number in (soft, hard or soft)]
    if limits[0] > limits[1]:
        raise UsageError(f"--ulimit {text}: the soft limit is above the hard one", "write NAME=SOFT:HARD")
    return f"{full}={limits[0]}:{limits[1]}"


def _limit(text: str, number: str) -> int:
    if number == "-1":
        return _UNLIMITED
    if not (number.isascii() and number.isdigit() and len(number) < 20):
        raise UsageError(f"'{number[:40]}' in --ulimit {text[:80]} is no limit", "a number, or -1 for none")
    return int(number)
