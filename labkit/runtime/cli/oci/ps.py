"""Show a container's processes, as ps(1) of the host shows them."""

from __future__ import annotations

import subprocess

from labkit.errors import UsageError
from labkit.runtime.cli.flags import Command, Option
from labkit.runtime.cli.oci import answer
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.oci import state

COMMAND = Command(
    "CONTAINER [OPTION OF PS …]",
    (Option(("format", "f"), "table (default) or json, which is a list of pids", "FORMAT", "table"),),
    most=-1,
    examples=("ps redis", "ps redis -eo pid,rss,args", "ps --format json redis"),
    takes_program=True,
)


def main(call: Invocation) -> int:
    """Show them."""
    if call.options.format not in ("table", "json"):
        raise UsageError(f"invalid format option: {call.options.format}", "it is table or json")
    container = state.load(call.root, call.arguments[0])
    pids = container.pids()
    if call.options.format == "json":
        answer.show(pids or None)  # as in a list of no containers
        return 0
    for line in rows(listed(call.arguments[1:] or ["-ef"]), set(pids)):
        print(line)
    return 0


def rows(lines: list[str], pids: set[int]) -> list[str]:
    """The heading, and the lines of those processes. UsageError where no column is PID."""
    heading = lines[0].split() if lines else []
    if "PID" not in heading:
        raise UsageError("couldn't find PID field in ps output", "ps must show the column pid")
    column = heading.index("PID")
    found = [line for line in lines[1:] if len(line.split()) > column and line.split()[column].isdigit()]
    return [lines[0], *(line for line in found if int(line.split()[column]) in pids)]


def listed(options: list[str]) -> list[str]:
    """What ps(1) says with those options. KernelError where it is not installed, UsageError where it refuses them."""
    with kernel_error("ps cannot be executed", "install procps"):
        done = subprocess.run(["ps", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"ps: {(done.stderr or done.stdout).strip().splitlines()[0]}", "see ps(1)")
    return done.stdout.splitlines()
