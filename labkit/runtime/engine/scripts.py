"""Dry runs: what would be done, as a shell script (run, exec, stop, rm) or as config.json. Nothing is done or reserved.

A start's operations are those of config/steps.py, and an end's those of the journals: the lists that the commands
themselves follow.
"""

from __future__ import annotations

import os

from labkit import __version__
from labkit.errors import KernelError, UsageError
from labkit.runtime.cgroups import freezer, group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine import volumes
from labkit.runtime.engine.config import beside, bundle, steps
from labkit.runtime.engine.life import stopping
from labkit.runtime.engine.life.create import new_container
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.options import ExecRequest, Options
from labkit.runtime.engine.record.record import RUN, Container
from labkit.runtime.images import imagestore as images
from labkit.runtime.kernel import capabilities, libc, process, signals
from labkit.runtime.oci import exec as oci_exec
from labkit.runtime.oci import plan as oci_plan
from labkit.runtime.oci import script, spec
from labkit.runtime.oci.launch import UNSHARE_WORDS
from labkit.runtime.oci.spec import Process
from labkit.runtime.operations import Operation
from labkit.runtime.std import json
from labkit.runtime.std.shlex import join, quote

#: By machine: prctl, setns, setgroups (the tables of system calls in the kernel's source).
_NUMBERS = {"x86_64": (157, 308, 116), "aarch64": (167, 268, 159)}

# PR_CAPBSET_DROP is 24, PR_SET_NO_NEW_PRIVS 38; version 3 of capget(2) has two blocks of effective, permitted and
# inheritable, and execve(2) makes root's permitted set from the inheritable and the bounding one (capabilities(7)).
_PERL = """
use POSIX ();
my ($pid, $directory, $uid, $gid, $groups, $capabilities, $no_new_privileges) = splice @ARGV, 0, 7;
%ENV = (); while (($_ = shift) ne "--") { my ($name, $value) = split /=/, $_, 2; $ENV{$name} = $value }
sub call { syscall($_[0], map { $_ + 0 } @_[1 .. 5]) >= 0 or die "system call $_[0]: $!\\n" }
if ($pid) { open my $link, "<", "/proc/$pid/ns/mnt" or die "$!\\n"; call(SETNS, fileno $link, 0, 0, 0, 0) }
chdir $directory or die "$directory: $!\\n";
my %kept = map { $_ => 1 } split /,/, $capabilities;
for (0 .. LAST) { call(PRCTL, 24, $_, 0, 0, 0) unless $kept{$_} }
my @groups = split / /, $groups; my $list = pack "L*", @groups, 0;
syscall(SETGROUPS, scalar @groups, $list) == 0 or die "setgroups: $!\\n";
POSIX::setgid($gid); POSIX::setuid($uid);
my ($head, $sets) = (pack("L2", 0x20080522, 0), "\\0" x 24);
syscall(CAPGET, $head, $sets) == 0 or die "capget: $!\\n";
my @sets = unpack "L6", $sets; $sets = pack "L6", @sets[0, 1], 0, @sets[3, 4], 0;
syscall(CAPSET, $head, $sets) == 0 or die "capset: $!\\n";
call(PRCTL, 38, 1, 0, 0, 0) if $no_new_privileges;
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n"
"""


def _head(typed: list[str], *told: str, flags: str = "-euo pipefail") -> list[str]:
    lines = [f"labkit {__version__}: {join(['labkit', *typed])}", *told]
    return ["#!/bin/bash", *[f"# {line}" for line in lines], f"set {flags}", ""]


def run(options: Options, detach: bool, typed: list[str]) -> str:
    """``typed`` is the command line, for the first lines. Raises what ``run`` would raise for the same options."""
    if options.userns == "private":
        raise UsageError("--dry-run has no words for --userns private", "its numbers are written from outside, by hand")
    image = images.find(options.image)
    container = new_container(options, image)
    sections = [steps.creation(container)]
    container = steps.run(container, image, sections.extend, dry=True)
    hierarchies = here()
    specification = spec.parse(bundle.specification(container, image, hierarchies), container.directory)
    todo = oci_plan.make(specification, hierarchies)
    done = [operation for section in sections for operation in section.operations] + todo.host
    lines = _head(
        typed,
        f"makes the container {container.name} with bash, util-linux, iproute2, iptables and perl (bpf(2)).",
        "Run it as root. labkit does not know this container: 'bash THIS_FILE undo' takes it back.",
    )
    lines += _undo(done, group.directories(specification.cgroups_path, hierarchies))
    for section in sections:
        if section.operations:
            lines += [f"# {section.title}", *[operation.describe() for operation in section.operations], ""]
    process = script.render(
        specification,
        todo,
        hierarchies,
        container.run_directory,
        detached=detach,
        log=container.log_path or "/dev/null",
    )
    return "\n".join(lines) + "\n" + process


def _undo(done: list[Operation], groups: list[str]) -> list[str]:
    """The script's answer to the word ``undo``: first whoever runs in it, then everything in reverse."""
    commands = [line for operation in reversed(done) for line in operation.describe_undo().splitlines()]
    return [
        'if [ "${1:-}" = undo ]; then',
        "  set +e",
        *[f"  kill -9 $(cat {quote(place)}/cgroup.procs); sleep 0.2" for place in groups[:1]],
        *[f"  {command}" for command in commands],
        "  exit",
        "fi",
        "",
    ]


def specification(options: Options, rootfs: str) -> str:
    """As JSON. With a ``rootfs`` it holds nothing that only labkit's own run would make: it is a bundle's.

    Raises what ``run`` would raise for the same options.
    """
    image = images.find(options.image)
    document = bundle.specification(new_container(options, image), image, here())
    if rootfs:
        if not os.path.isdir(rootfs):
            raise UsageError(f"--rootfs {rootfs} is no directory", "as 'labkit diff' or tar leave one")
        document["root"]["path"] = os.path.abspath(rootfs)
        del document["linux"]["cgroupsPath"]  # the runtime's own place, which it removes, too
        # What names the container lies in a directory that only a run makes; so does its network.
        mounts = document["mounts"]
        document["mounts"] = [each for each in mounts if each["type"] != "bind" or os.path.exists(each["source"])]
        for namespace in document["linux"]["namespaces"]:
            if namespace["type"] == "network" and not os.path.exists(namespace.get("path", "/")):
                del namespace["path"]
    return json.dumps(document, indent=2)


def execute(container: Container, request: ExecRequest, typed: list[str]) -> str:
    """A second process in a container. ConflictError where that does not run.

    nsenter(1) enters all namespaces but the mount namespace: in there the host's tools are out of reach, and what gave
    up its capabilities outside could not enter. So perl, which is loaded by then, takes the last steps, each a system
    call. The program has the script's standard output and
    error, and with ``interactive`` its input; of a terminal of its own (-t) and of seccomp the script knows nothing.
    """
    wanted = beside.of(container, request, record.running(container))
    kinds = oci_exec.entered(wanted.target)
    by_nsenter = [UNSHARE_WORDS[kind] for kind in kinds if kind != "mnt"]
    perl = ["perl", "-e", _program(), *_arguments(wanted.process, wanted.target if "mnt" in kinds else 0)]
    nsenter = f"nsenter --target {wanted.target} {' '.join(by_nsenter)} \\\n    " if by_nsenter else ""
    places = group.directories(container.cgroups_path, here())
    told = f"runs a program beside process {wanted.target}, the first one of {container.name}; run it as root."
    lines = [
        *_head(typed, told)[:-1],
        "(",
        "  # Its control group, in every tree",
        *[f"  echo $BASHPID > {quote(place)}/cgroup.procs" for place in places],
        "  # Its namespaces; then its root, and what a program in there may not have",
        f"  exec {nsenter}{join(perl)}",
        f"){'' if request.interactive else ' < /dev/null'}{' &' if request.detach else ''}",
    ]
    return "\n".join(lines) + "\n"


def _program() -> str:
    if libc.MACHINE not in _NUMBERS:
        raise KernelError(f"labkit does not know the numbers of system calls on {libc.MACHINE}")
    numbers = dict(zip(("PRCTL", "SETNS", "SETGROUPS"), _NUMBERS[libc.MACHINE]))
    known = libc.SYSCALL_NUMBERS[libc.MACHINE]
    numbers.update({"CAPGET": known["capget"], "CAPSET": known["capset"], "LAST": capabilities.last_known()})
    text = _PERL
    for word, number in numbers.items():
        text = text.replace(word, str(number))
    return text


def _arguments(process: Process, pid: int) -> list[str]:
    """What the program takes from its command line; ``pid`` is 0 where no mount namespace is to be entered."""
    kept, _ = capabilities.known(process.capabilities["bounding"])
    groups = " ".join(map(str, process.additional_gids))
    return [
        *[str(pid), process.cwd, str(process.uid), str(process.gid), groups],
        *[",".join(map(str, sorted(kept))), "1" if process.no_new_privileges else ""],
        *process.env,
        "--",
        *process.args,
    ]


def stop(container: Container, seconds: float, typed: list[str]) -> str:
    """The end of its run. ``seconds`` lie between the stop signal and SIGKILL.

    The container's shim would take the run back when it sees the end, so the script ends the shim first and does its
    work; labkit finds a container that has ended and whose keeper died.
    """
    return "\n".join([*_ends(container, typed), *_stopping(container, seconds)]) + "\n"


def remove(container: Container, force: bool, with_volumes: bool, typed: list[str]) -> str:
    """The end of all that it is; of its volumes without names, too, ``with_volumes``.

    ConflictError if it runs and ``force`` is not given.
    """
    stopping.check_removable(container, force)
    kept = []
    if not with_volumes and any(mount.get("anonymous") for mount in volumes.of(container)):
        kept = ["# Its volumes without names stay.", f": > {quote(volumes.stay_mark(container))}", ""]
    lines = [*_ends(container, typed), *_stopping(container, 0), *kept, *_removing(container)]
    return "\n".join(lines) + "\n"


def _ends(container: Container, typed: list[str]) -> list[str]:
    told = f"ends the container {container.name} as it is now; run it as root, as long as that is so."
    return _head(typed, told, flags="-u")


def _stopping(container: Container, seconds: float) -> list[str]:
    state = container.state()
    if not state.lives:
        return ["# It does not run: there is nothing to stop.", ""]
    lines = [
        "# No restart policy starts it again.",
        f": > {quote(container.stop_mark)}",
        "",
    ]
    if state.status == "restarting":
        lines += ["# Its shim waits to start it again: the shim ends.", f"kill -KILL {state.pid}", ""]
    else:
        lines += _ending(container, state.pid, seconds)
    lines += _emptying(container) + _taking_back(container)
    return lines + (_removing(container) if container.options.auto_remove else [])


def _ending(container: Container, pid: int, seconds: float) -> list[str]:
    shim = int(process.stat_fields(pid)[1])
    lines = [
        f"# Its shim, process {shim}, would take back what follows: this script does it instead.",
        f"kill -KILL {shim}",
        "",
    ]
    if seconds > 0:
        lines += [
            f"# It is asked to end, and has {seconds:g} seconds. (Pid 1 of a namespace hears only what it handles.)",
            f"kill -{signals.name(stopping.stop_signal(container))} {pid}",
            f"for _ in {{1..{max(1, round(seconds * 10))}}}; do",
            # A zombie has ended: nobody may be there to reap it at once.
            f"  grep -q '^State:.[^ZX]' /proc/{pid}/status 2> /dev/null || break; sleep 0.1",
            "done",
        ]
    lines += ["# The kernel ends with pid 1 all others of its pid namespace.", f"kill -KILL {pid} 2> /dev/null"]
    if freezer.is_frozen(container.cgroups_path, here()):
        thaw = freezer.operation(container.cgroups_path, here(), frozen=False)
        lines += ["# On cgroup v1 a frozen process does not die.", thaw.describe()]
    return [*lines, ""]


def _emptying(container: Container) -> list[str]:
    places = group.directories(container.cgroups_path, here())
    if not places:
        return []
    quoted = quote(places[-1] if here().v2 and not here().v1 else places[0])
    return [
        "# Whatever else is in its group ends, too; a group can be removed only when it is empty.",
        "for _ in {1..100}; do",
        f"  pids=$(find {quoted} -name cgroup.procs -exec cat {{}} + 2> /dev/null)",
        '  [ -n "$pids" ] || break; kill -KILL $pids 2> /dev/null; sleep 0.05',
        "done",
        "",
    ]


def _taking_back(container: Container) -> list[str]:
    files = [*[journal.path for journal in record.journals_of_run(container.id)], f"{RUN}/leases/{container.id}"]
    return ["# What its run consisted of, the last first", *stopping.end_of_run(container), f"rm -f {join(files)}", ""]


def _removing(container: Container) -> list[str]:
    journal = record.creation_journal(container.id)
    return [
        "# What outlived its runs: the name, the writable layer, the log",
        *journal.describe_undo(),
        f"rm -f {quote(journal.path)}",
        "",
    ]
