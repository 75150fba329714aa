"""``--log-driver`` and ``--log-opt``: whether a container's output is kept, and how much of it.

The names are docker's, and so is the default's, ``json-file``: command lines that name it for its ``max-size`` mean
here what they mean there, and ``inspect`` says what templates look for. There is one log, of labkit's own form
(logfile.py), turned over when it has grown, as that of docker's driver ``local``: both names mean the same.
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.engine.shim.logfile import Limits
from labkit.runtime.std.dataclasses import replace

DRIVERS = ("json-file", "local", "none")
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
"""As docker reads this size, and no other: in powers of 1000."""
_MOST_FILES = 1000


def check(driver: str, given: list[str]) -> tuple[str, dict[str, str]]:
    """The driver and its options, from the command line. UsageError for what cannot be meant."""
    driver = driver or DRIVERS[0]
    if driver not in DRIVERS:
        raise UsageError(f"there is no log driver '{driver}'", f"one of {', '.join(DRIVERS)}")
    options = dict(text.partition("=")[::2] for text in given)
    if options and driver == "none":
        raise UsageError("invalid logging opts for driver none", "it keeps nothing: leave --log-opt out")
    limits(options, driver)
    return driver, options


def limits(options: dict[str, str], driver: str = DRIVERS[0]) -> Limits:
    """What they mean. UsageError for what cannot be meant."""
    for name in options:
        if name not in ("max-size", "max-file"):
            raise UsageError(f"unknown log opt '{name}' for {driver} log driver", "there are max-size and max-file")
    found = Limits()
    if "max-size" in options:
        found = replace(found, size=_size(options["max-size"]))
    if "max-file" in options:
        found = replace(found, files=_files(options["max-file"]))
    return found


def _size(text: str) -> int:
    """``10m``, ``1.5 MB`` in bytes."""
    number = text.lower().removesuffix("b")
    number, unit = (number[:-1], number[-1]) if number[-1:] in ("k", "m", "g") else (number, "")
    number = number.removesuffix(" ")
    whole, _, fraction = number.partition(".")
    if not (whole + fraction).isdigit() or not number.isascii() or len(number) > 15:
        raise UsageError(f"invalid size of --log-opt max-size: '{text}'", "a number and k, m or g, as max-size=10m")
    size = int(float(number) * _UNITS[unit])
    if size <= 0:
        raise UsageError("--log-opt max-size must be a positive number", "as max-size=10m")
    return size


def _files(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"--log-opt max-file={text} is no number of files", "as max-file=3")
    if not 1 <= int(text) <= _MOST_FILES:
        raise UsageError(
            f"--log-opt max-file={text} is not possible", f"at least one file is kept, and at most {_MOST_FILES}"
        )
    return int(text)


def shown() -> dict[str, str]:
    """What holds where nothing is given, in the words of the command line."""
    limits = Limits()
    return {"driver": DRIVERS[0], "max-size": f"{limits.size // 1000**2}m", "max-file": str(limits.files)}
