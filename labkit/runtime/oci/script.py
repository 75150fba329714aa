"""The plan as a shell script that bash runs alone, with util-linux, iproute2 and iptables: the explanation that is
the truth.

labkit's first process prepares itself. A shell cannot: after pivot_root its own tools are out of reach, and what it
executes as a tool loses capabilities that a later tool needs. So in the script the container's process waits, with
nothing left to do but ``exec``, while the operations are done beside it in its namespaces by nsenter(1);
pivot_root(2) moves the root of the waiting process, too, since it was the old root. Then it is told to go on.
"""

from __future__ import annotations

from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.kernel import capabilities
from labkit.runtime.oci.launch import UNSHARE_WORDS
from labkit.runtime.oci.plan import Plan
from labkit.runtime.oci.root.newroot import DetachOldRoot
from labkit.runtime.oci.spec import Process, Spec
from labkit.runtime.std.shlex import join, quote

_UNLIMITED = (1 << 64) - 1

# Waits, and becomes the program. Not a shell: bash gives whom it executes a SHLVL of its own, whatever is unset.
_WAIT = (
    'open $g, "<&=9" or die "$!\\n"; <$g>; close $g; chdir shift or die "$!\\n"; '
    'exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n"'
)


def render(spec: Spec, plan: Plan, hierarchies: Hierarchies, run_directory: str, detached: bool, log: str) -> str:
    """The part of the script from the cgroup to the running program. ``run_directory`` exists; ``log`` takes its
    output.
    """
    gate = f"{run_directory}/gate"
    lines = ["# The cgroup"]
    lines += [operation.describe() for operation in plan.host]
    lines += [
        "",
        "# The process, in namespaces and a cgroup of its own. It waits at the gate for what is done below.",
        f"rm -f {quote(gate)} && mkfifo {quote(gate)}",
        "(",
        *[f"  echo $BASHPID > {quote(place)}/cgroup.procs" for place in _group_directories(spec, hierarchies)],
        "  # (Opened now: only root can reach it. For reading and writing, so that nobody is waited for.)",
        f"  exec 9<> {quote(gate)}",
        f"  exec {_launch_command(spec)}",
        f") {'< /dev/null > ' + quote(log) + ' 2>&1 ' if detached else ''}&",
        "launcher=$! pid=",
        "# (That file has no newline at its end, which read takes for a failure although it has read the number.)",
        "for _ in {1..500}; do",
        '  read -r pid _ < "/proc/$launcher/task/$launcher/children" || [ -n "$pid" ] && break; sleep 0.02',
        "done",
        "",
        "# What happens inside, before the program starts",
        f"nsenter --target \"$pid\" {_nsenter_words(spec)} bash -euo pipefail << 'INSIDE'",
        *[operation.describe() for operation in plan.init if not isinstance(operation, DetachOldRoot)],
        "INSIDE",
    ]
    if any(isinstance(operation, DetachOldRoot) for operation in plan.init):
        lines += [
            "# The old root lies on top of the new one now; umount steps into the namespace for the call alone.",
            'umount --namespace "$pid" --lazy /',
        ]
    if spec.seccomp:
        lines += ["# What no shell can set: the filter of system calls (seccomp(2)). labkit's own container has one."]
    lines += ["", "# The gate opens: the program starts.", f"echo > {quote(gate)}", f"rm {quote(gate)}"]
    if not detached:
        lines.append('wait "$launcher"')
    return "\n".join(lines) + "\n"


def _group_directories(spec: Spec, hierarchies: Hierarchies) -> list[str]:
    return group.directories(spec.cgroups_path, hierarchies) if spec.cgroups_path else []


def _launch_command(spec: Spec) -> str:
    """nsenter for what is joined, unshare for what is new, setpriv for the user and the capabilities, and the gate."""
    process = spec.process
    joined = [f"{UNSHARE_WORDS[kind]}={quote(path)}" for kind, path in spec.namespaces.items() if path]
    new = [UNSHARE_WORDS[kind] for kind, path in spec.namespaces.items() if not path]
    bounding = capabilities.setpriv_words(process.capabilities["bounding"])
    ids = [f"--reuid={process.uid}", f"--regid={process.gid}"]
    ids.append(
        f"--groups={','.join(map(str, process.additional_gids))}" if process.additional_gids else "--clear-groups"
    )
    privileges = ["setpriv", *ids, "--inh-caps=-all", f"--bounding-set={bounding}"]
    if process.no_new_privileges:
        privileges.append("--no-new-privs")
    command = [
        *(["nsenter", *joined] if joined else []),
        *_limits(process),
        *["unshare", "--propagation", "unchanged", *new, "--fork", "--kill-child=SIGKILL"],
        *privileges,
        *["env", "-i", *process.env],
        *["perl", "-e", _WAIT, process.cwd, *process.args],
    ]
    return " \\\n    ".join(_wrapped(command))


def _limits(process: Process) -> list[str]:
    """prlimit and choom, which are util-linux's, too: what they set is inherited by what they execute."""
    words = []
    for name, soft, hard in process.rlimits:
        ends = ["unlimited" if number == _UNLIMITED else str(number) for number in (soft, hard)]
        words.append(f"--{name[len('RLIMIT_') :].lower()}={':'.join(ends)}")
    oom = ["choom", "--adjust", str(process.oom_score_adj), "--"] if process.oom_score_adj is not None else []
    return [*(["prlimit", *words] if words else []), *oom]


def _wrapped(command: list[str]) -> list[str]:
    """One tool with its options a line, for the reader."""
    tools = ("prlimit", "choom", "nsenter", "unshare", "setpriv", "env", "perl")
    lines: list[list[str]] = []
    for word in command:
        if word in tools and (not lines or lines[-1][0] != "perl"):
            lines.append([])
        lines[-1].append(word)
    return [join(line) for line in lines]


def _nsenter_words(spec: Spec) -> str:
    kinds = [kind for kind in ("user", "mnt", "uts", "ipc", "net", "pid", "cgroup", "time") if kind in spec.namespaces]
    return " ".join(UNSHARE_WORDS[kind] for kind in kinds)
