"""The checkout and the directories: what a file is named and how its lines end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import ConfigError
from labkit.host.checks.finding import Finding, ok, problem, warning
from labkit.host.lab import config, paths
from labkit.host.machines.qemurun import LONGEST_SOCKET_PATH, SOCKET
from labkit.host.payload.deployed import files_below

READ_BY_THE_GUEST = ("labkit", "scenarios", "tests/guest")
"""Directories of the checkout whose files Linux reads, in the machine."""

ROOM_FOR_NAMES = len("/machines/") + 32 + len("/" + SOCKET)
"""What is appended to the state directory for a machine's socket."""


def line_endings() -> Finding:
    """Git for Windows may turn LF into CRLF; ``#!/bin/sh`` followed by a CR names a program that does not exist."""
    converted = sorted(with_crlf(paths.checkout()))
    if not converted:
        return ok("LF in all files that the machine reads")
    scripts = [name for name, is_script in converted if is_script]
    some = ", ".join(name for name, _ in converted[:3]) + (", …" if len(converted) > 3 else "")
    verdict = problem if scripts else warning
    return verdict(
        f"CRLF in {len(converted)} of the files that the machine reads ({some})",
        "Clone again with `git clone -c core.autocrlf=false …`; no editor should convert line endings either.",
    )


def with_crlf(root: Path) -> Iterator[tuple[str, bool]]:
    """Files that hold CRLF: path below ``root``, and whether it is a script (begins with ``#!``)."""
    for directory in READ_BY_THE_GUEST:
        for name, path in files_below(root / directory):
            contents = path.read_bytes()
            if b"\r\n" in contents and b"\0" not in contents:
                yield f"{directory}/{name}", contents.startswith(b"#!")


def directory_names() -> Finding:
    """Characters that some program on the way does not bear, in each directory that the lab uses."""
    places = {"home": Path.home(), "checkout": paths.checkout(), "cache": paths.cache_dir(), "state": paths.state_dir()}
    remarks = [remark for name, path in places.items() if (remark := _remark(name, path))]
    if remarks:
        remedy = "Set LABKIT_CACHE and LABKIT_STATE to short directories with plain names, such as /var/tmp/labkit."
        return warning("; ".join(remarks), remedy)
    return ok("plain letters only")


def _remark(name: str, path: Path) -> str:
    text = str(path)
    if not text.isascii():
        return f"{name} ({text}) has letters beyond ASCII, which QEMU on Windows cannot open"
    if "," in text:
        return f"{name} ({text}) has a comma, which separates QEMU's options"
    if " " in text:
        return f"{name} ({text}) has a space, which breaks what is typed without quotes"
    return ""


def socket_path(state: Path | None = None) -> Finding | None:
    """QEMU's monitor is a UNIX socket beside the machine's disk (on Windows a TCP port instead)."""
    if sys.platform == "win32":
        return None
    state = state or paths.state_dir()
    length = len(os.fsencode(state)) + ROOM_FOR_NAMES
    if length <= LONGEST_SOCKET_PATH:
        return ok(f"up to {length} of {LONGEST_SOCKET_PATH} bytes")
    return warning(
        f"a socket below {state} may have {length} bytes; the system allows {LONGEST_SOCKET_PATH}",
        "Set LABKIT_STATE to a shorter directory, such as /var/tmp/labkit.",
    )


def lab_file() -> Finding:
    """Does lab.yaml say what it must?"""
    try:
        lab = config.load()
    except ConfigError as error:
        return problem(error.message, error.hint or "Compare it with the one of the checkout.")
    return ok(f"machines {', '.join(lab.machines)}; kernels {', '.join(lab.kernels)}")
