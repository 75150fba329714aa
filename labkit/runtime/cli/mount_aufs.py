"""What mount(8) calls for ``mount -t aufs`` (mount(8), "External helpers"): a stand-in where the kernel has no aufs.

Where it has, this steps aside. Where it has not, fuse-overlayfs makes the same union from user space: what is seen,
copied up and hidden is the same, and it is nowhere called aufs. /proc/mounts shows ``fuse.fuse-overlayfs``, whiteouts
are 0/0 devices, those of every branch count (as with ``ro+wh``), and only the first branch can be written to.

Exit statuses are mount(8)'s: 1 for what was asked wrongly, 2 for what is missing here, 32 for a mount that failed.

It imports next to nothing, since people wait for it: subprocess and argparse alone would double its time.
"""

from __future__ import annotations

import os
import sys

from labkit.errors import ConflictError, KernelError, LabkitError, MissingToolError, UsageError
from labkit.runtime.kernel import mounts

PROGRAM = "fuse-overlayfs"

SCRATCH = ".wh..wh.stand-in"
"""fuse-overlayfs needs a directory for its work on the first branch's file system. In that branch, by a name that no
union shows, as aufs keeps its own."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BRANCH_OPTIONS = ("dirs=", "br=", "br:")
_WITHOUT_EFFECT = ("rw", "defaults", "relatime")
_WRITABLE, _READ_ONLY = ("rw",), ("ro", "ro+wh", "rr", "rr+wh")


class Branch:
    """One directory of the union; topmost first in a list of them."""

    def __init__(self, path: str, writable: bool) -> None:
        self.path = path
        self.writable = writable


def main(arguments: list[str] | None = None) -> int:
    """``mount.aufs SOURCE TARGET [-sfnv] [-o OPTIONS] …``; the exit status."""
    if arguments is None:
        os.environ["PATH"] = _PATH  # as a program: whoever calls mount(8) need not have one
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if mounts.has_filesystem("aufs"):
            os.execvp("mount", ["mount", "-i", "-t", "aufs", *words])  # noqa: S606 - words are arguments, no shell's
        if len(words) < 2:
            raise UsageError("a source and a target are needed", "mount -t aufs -o dirs=UPPER:LOWER none TARGET")
        target, options, pretend = words[1], "", False
        rest = iter(words[2:])
        for word in rest:
            if word == "-o":
                options = next(rest, "")
            pretend = pretend or word == "-f"
        stack = parse(options)
        check(stack)
        if not pretend:
            stand_in(stack, os.path.abspath(target))
    except LabkitError as error:
        print(f"mount.aufs: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return {UsageError: 1, MissingToolError: 2}.get(type(error), 32)
    return 0


def parse(options: str) -> list[Branch]:
    """The branches of an option string, as aufs(5) has them: without permissions the first is writable, and it alone.

    UsageError for an option or a permission that the stand-in does not know, by its name.
    """
    found: list[str] = []
    for option in filter(None, options.split(",")):
        key = next((key for key in _BRANCH_OPTIONS if option.startswith(key)), "")
        if key:
            found += option[len(key) :].split(":")
        elif option not in _WITHOUT_EFFECT:
            raise UsageError(
                f"the stand-in for aufs does not know the option '{option}'", "it knows dirs= and br=, with =rw and =ro"
            )
    if not any(found):
        raise UsageError("no branches are given", "mount -t aufs -o dirs=UPPER:LOWER none TARGET")
    stack = []
    for number, word in enumerate(found):
        path, _, permission = word.partition("=")
        permission = permission or ("ro" if number else "rw")
        if permission not in _WRITABLE + _READ_ONLY:
            raise UsageError(
                f"the stand-in for aufs does not know the permission '{permission}' of the branch {path}",
                f"one of {', '.join(_WRITABLE + _READ_ONLY)}",
            )
        stack.append(Branch(os.path.abspath(path), permission in _WRITABLE))
    return stack


def check(stack: list[Branch]) -> None:
    """What aufs would refuse, and what fuse-overlayfs cannot do: a second writable branch, or no other at all."""
    if all(branch.writable for branch in stack):
        raise UsageError("the stand-in for aufs needs a branch to read from", "dirs=UPPER:LOWER")
    for number, branch in enumerate(stack):
        if branch.writable and number:
            raise UsageError(
                f"the stand-in for aufs can write to the first branch only, not to {branch.path}", "give it =ro"
            )
        if not os.path.isdir(branch.path):
            raise KernelError(f"the branch {branch.path} is no directory", "each branch is a directory that is there")
        for other in stack[:number]:
            longer, shorter = sorted((f"{branch.path}/", f"{other.path}/"), key=len, reverse=True)
            if longer.startswith(shorter):
                raise ConflictError(
                    f"the branches {other.path} and {branch.path} overlap", "no branch lies within another"
                )


def command(stack: list[Branch], target: str) -> list[str]:
    """The command line of fuse-overlayfs; without a writable branch the union is read-only."""
    upper = [branch.path for branch in stack if branch.writable]
    lower = ":".join(branch.path for branch in stack if not branch.writable)
    options = [f"lowerdir={lower}", *[f"upperdir={path},workdir={path}/{SCRATCH}" for path in upper]]
    return [PROGRAM, "-o", ",".join(options), target]


def stand_in(stack: list[Branch], target: str) -> None:
    """Mount, and say what it is. KernelError where nothing is mounted then, and nothing is left."""
    scratch = [f"{branch.path}/{SCRATCH}" for branch in stack if branch.writable]
    new = [path for path in scratch if not os.path.isdir(path)]
    for path in new:
        os.mkdir(path, 0o700)
    try:
        status, said = _run(command(stack, target))
        if status != 0 or not os.path.ismount(target):
            raise KernelError(f"this kernel has no aufs, and {PROGRAM} in its place failed: {said}")
    except LabkitError:
        for path in new:
            _remove(path)
        raise
    print(
        f"mount.aufs: no aufs in this kernel; {PROGRAM} stands in for it (its whiteouts: 0/0 devices)",
        file=sys.stderr,
    )


def _run(words: list[str]) -> tuple[int, str]:
    """Run fuse-overlayfs, which comes back when it has mounted, or not; its status and the last line that it said."""
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_DUP2, writing, 2),
    ]
    try:
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
    except FileNotFoundError:
        raise MissingToolError(
            f"this kernel has no aufs, and {PROGRAM}, which could stand in for it, is not installed",
            f"apt-get install {PROGRAM}",
        ) from None
    finally:
        os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as stream:
        lines = stream.read().strip().splitlines()  # what goes on serving has let go of it
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, lines[-1] if lines else f"it ended with status {status}"


def _remove(scratch: str) -> None:
    """What fuse-overlayfs made in it is empty as long as nothing was mounted."""
    for path in (f"{scratch}/work", scratch):
        if os.path.isdir(path):
            os.rmdir(path)
