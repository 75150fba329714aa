"""The computer itself: processor, memory, disk, Python, terminal."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

import psutil

from labkit.errors import LabkitError
from labkit.host.checks.finding import Finding, gib, ok, problem, warning
from labkit.host.image import guestimage, kernels
from labkit.host.lab import config, paths

MIB = 2**20

MACHINE_BYTES = 512 * MIB
"""One machine: its snapshot with memory (about 220 MB), and what a participant writes to its disk."""

BESIDE_THE_MACHINE_BYTES = 512 * MIB
"""What QEMU itself and the lab need beside the guest's memory."""

OLDEST_PYTHON = (3, 11)


def architecture() -> Finding:
    """The guest is x86-64: elsewhere its every instruction is translated."""
    machine, system = platform.machine(), f"{platform.system()} {platform.release()}"
    if machine.lower() in ("x86_64", "amd64"):
        return ok(f"{machine}, {system}, {os.cpu_count()} processors")
    if machine.lower() in ("arm64", "aarch64"):
        return warning(
            f"{machine}, {system}: the lab's machine is x86-64 and has to be emulated here",
            "Nothing needs to be done: everything works, and takes several times as long.",
        )
    return problem(
        f"{machine}, {system}: the lab was never tried on such a processor",
        "Use a computer with an x86-64 or a 64-bit ARM processor.",
    )


def python() -> Finding:
    """Which Python runs this."""
    what = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return ok(what)
    return problem(what, "Install Python 3.11 or newer and run bootstrap.py with it.")


def memory() -> Finding:
    """Enough for the default machine?"""
    seen = psutil.virtual_memory()
    wanted = _default_machine_mib() * MIB + BESIDE_THE_MACHINE_BYTES
    what = f"{gib(seen.total)}, {gib(seen.available)} of it free; the default machine needs {gib(wanted)}"
    if seen.total < wanted:
        return problem(what, "Lower `memory:` of the machine in lab.yaml (512 MiB is enough).")
    if seen.available < wanted:
        return warning(what, "Close other programs, or lower `memory:` in lab.yaml.")
    return ok(what)


def _default_machine_mib() -> int:
    try:
        return config.load().machine(None).memory_mib
    except LabkitError:
        return config.MachineConfig("default").memory_mib  # What is wrong with lab.yaml is another's finding.


def disk_for_images() -> Finding:
    """Room in the cache, where it would be, and the right to write there."""
    return _disk(paths.cache_dir(), "LABKIT_CACHE", guestimage.KIND.space + kernels.KIND.space)


def disk_for_machines() -> Finding:
    """The same of the state."""
    return _disk(paths.state_dir(), "LABKIT_STATE", MACHINE_BYTES)


def _disk(directory: Path, variable: str, wanted: int) -> Finding:
    existing = next(place for place in (directory, *directory.parents) if place.exists())
    elsewhere = f"set {variable} to a directory elsewhere."
    if not os.access(existing, os.W_OK | os.X_OK):
        return problem(f"{existing} cannot be written by this user", f"Change its rights, or {elsewhere}")
    free = shutil.disk_usage(existing).free
    what = f"{gib(free)} free in {directory}"
    if free < wanted:
        return problem(f"{what}; {gib(wanted)} are needed", f"Make room, or {elsewhere}")
    if free < 2 * wanted:
        return warning(f"{what}; {gib(wanted)} are needed", f"Make room soon, or {elsewhere}")
    return ok(what)


def terminal() -> Finding:
    """Can the lesson's ticks and frames be shown?"""
    # While a progress display runs, sys.stdout is its stand-in, which has no encoding.
    encoding = sys.stdout.encoding or getattr(sys.__stdout__, "encoding", None) or "unknown"
    what = f"{encoding}, {'a terminal' if sys.stdout.isatty() else 'not a terminal'}"
    if sys.stdout.isatty():
        what += f" of {shutil.get_terminal_size().columns} columns"
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    what += ", colour" if colour else ", no colour"
    try:
        "✓│…—".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        remedy = "Set PYTHONUTF8=1 (and on Linux a UTF-8 locale, such as LANG=C.UTF-8)."
        return warning(f"{what}: not every character of the lessons can be shown", remedy)
    return ok(what)
