"""``labkit exec --dry-run``: a second process in a container, as a shell script.

nsenter(1) enters all namespaces but the mount namespace: in there the host's tools are out of reach, and what gave up
its capabilities outside could not enter. So perl, which is loaded by then, takes the last steps, each a system call.
"""

from __future__ import annotations

from labkit import __version__
from labkit.errors import KernelError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.config import beside
from labkit.runtime.engine.record.execrequest import ExecRequest
from labkit.runtime.engine.record.record import Container
from labkit.runtime.kernel import capabilities, libc
from labkit.runtime.oci import exec as oci_exec
from labkit.runtime.oci.launch import UNSHARE_WORDS
from labkit.runtime.oci.spec import Process
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


def render(container: Container, request: ExecRequest, typed: list[str]) -> str:
    """The script. ConflictError where the container does not run. The program has the script's standard output and
    error, and with ``interactive`` its input; of a terminal of its own (-t) and of seccomp the script knows nothing.
    """
    wanted = beside.of(container, request)
    kinds = oci_exec.entered(wanted.target)
    by_nsenter = [UNSHARE_WORDS[kind] for kind in kinds if kind != "mnt"]
    perl = ["perl", "-e", _program(), *_arguments(wanted.process, wanted.target if "mnt" in kinds else 0)]
    nsenter = f"nsenter --target {wanted.target} {' '.join(by_nsenter)} \\\n    " if by_nsenter else ""
    places = group.directories(container.cgroups_path, here())
    lines = [
        "#!/bin/bash",
        f"# labkit {__version__}: {join(['labkit', *typed])}",
        f"# runs a program beside process {wanted.target}, the first one of {container.name}; run it as root.",
        "set -euo pipefail",
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
