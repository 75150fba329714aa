"""``labkit stop --dry-run`` and ``labkit rm --dry-run``: how a container ends, as a shell script.

Its journals say what there is to take back. The container's shim would do that when it sees the end, so the script ends
the shim first and does its work; labkit finds a container that has ended and whose keeper died.
"""

from __future__ import annotations

from labkit import __version__
from labkit.runtime.cgroups import freezer, group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.life import stopping
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import RUN, Container
from labkit.runtime.engine.volume import volumes
from labkit.runtime.kernel import process, signals
from labkit.runtime.operations import Journal
from labkit.runtime.std.shlex import join, quote


def stop(container: Container, seconds: float, typed: list[str]) -> str:
    """The end of its run. ``seconds`` lie between the stop signal and SIGKILL."""
    return "\n".join([*_head(container, typed), *_stopping(container, seconds)]) + "\n"


def remove(container: Container, force: bool, with_volumes: bool, typed: list[str]) -> str:
    """The end of all that it is; of its volumes without names, too, ``with_volumes``.

    ConflictError if it runs and ``force`` is not given.
    """
    stopping.check_removable(container, force)
    kept = [] if with_volumes else _keeping(container)
    lines = [*_head(container, typed), *_stopping(container, 0), *kept, *_removing(container)]
    return "\n".join(lines) + "\n"


def _keeping(container: Container) -> list[str]:
    if not any(mount.get("anonymous") for mount in volumes.of(container)):
        return []
    return ["# Its volumes without names stay.", f": > {quote(volumes.stay_mark(container))}", ""]


def _head(container: Container, typed: list[str]) -> list[str]:
    return [
        "#!/bin/bash",
        f"# labkit {__version__}: {join(['labkit', *typed])}",
        f"# ends the container {container.name} as it is now; run it as root, as long as that is so.",
        "set -u",
        "",
    ]


def _stopping(container: Container, seconds: float) -> list[str]:
    state = container.state()
    if state.status not in ("running", "paused", "restarting"):
        return ["# It does not run: there is nothing to stop.", ""]
    lines = [
        "# No restart policy starts it again.",
        f": > {quote(f'{container.directory}/stopped')}",
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
    return ["# What its run consisted of, the last first", *end_of_run(container), f"rm -f {join(files)}", ""]


def end_of_run(container: Container) -> list[str]:
    """The commands that take back what its run consists of, the last first."""
    return [line for journal in record.journals_of_run(container.id) for line in undone(journal)]


def _removing(container: Container) -> list[str]:
    journal = record.creation_journal(container.id)
    return [
        "# What outlived its runs: the name, the writable layer, the log",
        *undone(journal),
        f"rm -f {quote(journal.path)}",
        "",
    ]


def undone(journal: Journal) -> list[str]:
    """The commands that take back what a journal holds, the last first. ConfigError for a record that is none."""
    return [line for operation in reversed(journal.operations()) for line in operation.describe_undo().splitlines()]
