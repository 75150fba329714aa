"""The last steps of a process in a container: become the user, give up rights, become the program.

Two parts: ``prepare`` fails as long as whoever asked for the container can still be told (create), ``execute`` is
what is left for ``start``, and goes by kernel/trampoline.py, so that /proc/self/exe is never the host's Python.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from labkit.errors import KernelError, LabkitError
from labkit.runtime.kernel import capabilities, trampoline
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.kernel.process import raise_hard_limit, set_dumpable, set_limit, set_oom_score_adj, set_personality
from labkit.runtime.oci.spec import Hook, Process
from labkit.runtime.std import json, signal
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, field, replace
from labkit.runtime.std.shlex import join, quote
from labkit.runtime.std.typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from labkit.runtime.kernel.seccomp import Filter

#: As a shell has it: there is such a file, and it cannot be executed; there is none.
CANNOT_EXECUTE, NOT_FOUND = 126, 127

_HINT = "it must be in the container's root file system, on its PATH or given with its path"

#: Where execvp(3) looks when nothing is said.
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


#: Limits that would be too low for ourselves below this: descriptors with the channels to whoever starts us; the bytes
#: of the file in memory; Python's own memory.
_WE_NEED = {"RLIMIT_NOFILE": 32, "RLIMIT_FSIZE": 1 << 20, "RLIMIT_AS": 1 << 30, "RLIMIT_DATA": 1 << 30}

_OURSELVES: os.stat_result | None = None
with suppress(OSError):  # no /proc, as on other systems, where a reader of config.json also imports us
    _OURSELVES = os.stat("/proc/self/exe")


class RefusedError(LabkitError):
    """The program cannot be executed, or not as this user; ``exit_status`` is 126, 127 or 125."""

    def __init__(self, message: str, hint: str, exit_status: int = CANNOT_EXECUTE) -> None:
        super().__init__(message, hint)
        self.exit_status = exit_status


@dataclass(frozen=True)
class Program:
    """What ``prepare`` has found: all that execve(2) takes, and the filter that is still to be loaded."""

    path: str
    args: list[str]
    environment: dict[str, str]
    filter: Filter | None = None
    file: int = -1
    """A file in memory for kernel/trampoline.py, or -1."""
    late_limits: list[tuple[str, int, int]] = field(default_factory=list)
    hook_files: list[int] = field(default_factory=list)
    """One more such file for each hook that is to be executed in its place first."""

    def for_hook(self, number: int, hook: Hook) -> Program:
        """The same for a hook of the container's own: with the same filter and limits, and by the same way."""
        given = dict(variable.partition("=")[::2] for variable in hook.env)
        file, args = self.hook_files[number], hook.args or [hook.path]
        return replace(self, path=hook.path, args=args, environment=given or self.environment, file=file)


def take_no_modules() -> None:
    """Before our root is the container's: what is imported from then on would be a file of the container's, which we
    would execute with all the rights that we still have.
    """
    sys.meta_path.clear()


def protect(process: Process, by_scout: bool = False) -> None:
    """Before the first step into a container: nobody in there may look into us, whose /proc/PID/exe is the host's
    Python. ``by_scout``: see entry.py, which has done the rest with more rights.
    """
    set_dumpable(False)
    if not by_scout:
        claim(process)


def claim(process: Process) -> None:
    """What needs CAP_SYS_RESOURCE of the host, and cannot be had any more from inside a user namespace."""
    if process.oom_score_adj is not None:
        set_oom_score_adj(process.oom_score_adj)
    for name, _, hard in process.rlimits:
        raise_hard_limit(name, hard)


def prepare(
    process: Process, tell: Any, filter_: Filter | None = None, personality: int | None = None, hooks: int = 0
) -> Program:
    """Become the user, give up what the specification does not grant, and look for the program.

    The order matters: the bounding set needs CAP_SETPCAP, the groups CAP_SETGID, and both go with the change of user.
    A filter without noNewPrivileges needs CAP_SYS_ADMIN, and is loaded before that goes; with it, nothing but the
    execve(2) is left to the filter (seccomp(2)). ``tell`` hears of what was asked for and cannot be granted. ``hooks``
    says how many programs of the container's come before this one.

    RefusedError, or KernelError.
    """
    file, *hook_files = [trampoline.make_file() for _ in range(1 + hooks)]  # now: a filter might not allow it later
    environment = dict(variable.partition("=")[::2] for variable in process.env)
    if not environment.get("HOME"):
        environment["HOME"] = _home(process.uid)
    os.umask(0o022 if process.umask is None else process.umask)
    late_limits = _limit(process.rlimits)
    entered = _enter(process.cwd, or_later=process.uid != 0)
    if personality is not None:
        set_personality(personality)
    if process.no_new_privileges:
        capabilities.no_new_privileges()
    elif filter_:
        filter_.load()
    _become_user(process, tell)
    if not entered:
        _enter(process.cwd)
    path = find(process.args[0], environment.get("PATH", _DEFAULT_PATH))
    late_filter = filter_ if process.no_new_privileges else None
    return Program(path, process.args, environment, late_filter, file, late_limits, hook_files)


def execute(program: Program, tell: Any, report: int) -> NoReturn:
    """Execute the program. What keeps us from it goes to ``tell``; what keeps the trampoline from it, by which it is
    done, as a line to the descriptor ``report``: see ``refusal_in``. Both are the process's end.
    """
    _restore_signals()
    refused = _refused(program, report)
    tell("error", message=refused.message, hint=refused.hint, status=refused.exit_status)
    os._exit(refused.exit_status)


def _refused(program: Program, report: int) -> RefusedError:
    """Why it is not executed; returns in no other case."""
    try:
        if program.file >= 0:
            _fill_file(program, report)
        for limit in program.late_limits:
            set_limit(*limit)
        if program.file >= 0:
            os.set_inheritable(report, True)
            with suppress(KernelError):  # files in memory cannot be executed here
                trampoline.execute(program.file, program.args, program.environment)
            os.set_inheritable(report, False)
        _check_interpreter(program.path)
        if program.filter:
            program.filter.load()
        os.execve(program.path, program.args, program.environment)  # noqa: S606 - this is the container's program
    except OSError as error:
        return _refusal(f"exec {program.path}", error)
    except RefusedError as error:
        return error
    except KernelError as error:
        return RefusedError(error.message, error.hint)


def execute_hook(program: Program, report: int) -> NoReturn:
    """The same for a hook of the container's own (``Program.for_hook``); what keeps us from it goes to ``report``, too:
    see ``message_in``.
    """
    refused = _refused(program, report)
    os.write(report, json.dumps({"event": "error", "message": refused.message}).encode() + b"\n")
    os._exit(refused.exit_status)


def message_in(line: str) -> str:
    """What a line of ``execute_hook`` says."""
    event = json.loads(line)
    refused = refusal_in(event)
    return refused.message if refused else str(event["message"])


def refusal_in(event: dict[str, Any]) -> RefusedError | None:
    """What an event ``execve`` of the trampoline means; None for any other event."""
    if event["event"] != "execve":
        return None
    number = int(event["errno"])
    return _refusal(f"exec {event['path']}", OSError(number, os.strerror(number)))


def _fill_file(program: Program, report: int) -> None:
    event = json.dumps({"event": "execve", "path": program.path, "errno": trampoline.DIGITS.decode()})
    line = event.encode() + b"\n"
    trampoline.fill_file(program.file, trampoline.program(program.path, report, line, program.filter))


def _check_interpreter(path: str) -> None:
    """RefusedError where executing ``path`` would execute our own program, the host's Python, once more."""
    for _ in range(5):  # as deep as the kernel follows interpreters (BINPRM_MAX_RECURSION, Linux 5.10)
        with suppress(OSError):
            if _OURSELVES and os.path.samestat(os.stat(path), _OURSELVES):
                raise RefusedError(f"exec {path}: permission denied", "it leads to labkit's own program, out here")
        try:
            with open(path, "rb") as file:
                first, _, rest = file.read(256).partition(b"\n")[0].partition(b"#!")
        except OSError:
            return
        words = rest.split()
        if first or not words:
            return
        path = os.fsdecode(words[0])


def last_command(process: Process) -> str:
    """The last step as setpriv(1) and a shell would do it: give up rights, then become the program."""
    words = capabilities.setpriv_words(process.capabilities["bounding"])
    return f"cd {quote(process.cwd)} && exec setpriv --bounding-set={words} {join(process.args)}"


def find(name: str, path: str) -> str:
    """Where the program is, as execvp(3) looks for it; RefusedError in runc's words, by which callers know.

    Called as the user, with the container's root: what may be executed is asked of the kernel.
    """
    if "/" in name:
        try:
            mode = os.stat(name).st_mode
        except OSError as error:
            raise _refusal(f'exec: "{name}": stat {name}', error) from None
        if stat.S_ISDIR(mode):
            raise RefusedError(f'exec: "{name}": is a directory', _HINT)
        if not _is_executable(name):
            raise RefusedError(f'exec: "{name}": permission denied', "it needs a right to be executed, for this user")
        return name
    for directory in path.split(":") if name else ():
        candidate = os.path.join(directory or ".", name)
        if os.path.isfile(candidate) and _is_executable(candidate):
            return candidate
    raise RefusedError(f'exec: "{name}": executable file not found in $PATH', _HINT, NOT_FOUND)


def _is_executable(path: str) -> bool:
    """By access(2): our real and effective user are the same, and rights that execve(2) takes away do not count.

    Where a filter lets no access(2) through, execve(2) will have the last word.
    """
    some_may = os.stat(path).st_mode & 0o111 != 0
    return some_may and (os.access(path, os.X_OK) or not os.access(path, os.F_OK))


def _refusal(what: str, error: OSError) -> RefusedError:
    # Go's words for an errno, which runc's callers look for, are those of the C library in small letters.
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return RefusedError(f"{what}: {(error.strerror or '').lower()}", _HINT, NOT_FOUND if missing else CANNOT_EXECUTE)


def _limit(limits: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Set them, before a filter that might not allow it; returns those that would be too low for ourselves."""
    late = [limit for limit in limits if limit[1] < _WE_NEED.get(limit[0], 0)]
    for limit in limits:
        if limit not in late:
            set_limit(*limit)
    return late


def _enter(directory: str, or_later: bool = False) -> bool:
    """The working directory; False where only the user may enter it, and ``or_later`` says that he is still to come."""
    try:
        os.chdir(directory)
        os.getcwd()  # it fails outside the root, where a link like /proc/self/fd/7 could have led (getcwd(3), ENOENT)
    except PermissionError as error:
        if or_later:
            return False
        raise RefusedError(_no_directory(directory, error), "the user must have the right to enter it") from None
    except OSError as error:
        raise RefusedError(_no_directory(directory, error), "it must be a directory of the container") from None
    return True


def _no_directory(directory: str, error: OSError) -> str:
    return f'chdir to cwd ("{directory}") set in config.json failed: {(error.strerror or "").lower()}'


def _become_user(process: Process, tell: Any) -> None:
    asked = {name: capabilities.known(members) for name, members in process.capabilities.items()}
    unknown = {name for _, names in asked.values() for name in names}
    capabilities.limit_bounding(asked["bounding"][0])
    capabilities.keep_over_setuid(True)
    _give_stdio(process.uid)
    with suppress(PermissionError):  # in a user namespace that denies it (user_namespaces(7))
        os.setgroups(process.additional_gids)
    try:
        os.setresgid(process.gid, process.gid, process.gid)
        os.setresuid(process.uid, process.uid, process.uid)
    except OSError as error:
        raise RefusedError(
            f"the process cannot become user {process.uid} and group {process.gid}: {error.strerror}",
            "in a user namespace both must be in its mappings",
            125,
        ) from None
    set_dumpable(False)  # changing the user has set it to the value of fs.suid_dumpable
    refused = capabilities.set_sets(*(asked[name][0] for name in ("effective", "permitted", "inheritable", "ambient")))
    _tell_of_refused(tell, sorted(unknown), refused, asked["ambient"][0])


def _tell_of_refused(tell: Any, unknown: list[str], refused: set[int], ambient: set[int]) -> None:
    """In runc's words, by which callers know."""
    missing = unknown + [f"CAP_{capabilities.NAMES[number]}" for number in sorted(refused - ambient)]
    if missing:
        tell("warning", message=f"ignoring unknown or unavailable capabilities: [{' '.join(missing)}]")
    for number in sorted(refused & ambient):
        name = f"CAP_{capabilities.NAMES[number]}"
        tell("warning", message=f"can't raise ambient capability {name}: operation not permitted")


def _give_stdio(uid: int) -> None:
    """The user may open /dev/stdout and its like again: pipes and terminals among 0, 1 and 2 become his."""
    for descriptor in (0, 1, 2):
        with suppress(OSError):  # closed; a read-only file system; an owner that is not mapped
            about = os.fstat(descriptor)
            if about.st_uid != uid and about.st_rdev != os.makedev(1, 3):  # /dev/null is everybody's
                os.fchown(descriptor, uid, -1)


def _home(uid: int) -> str:
    """The user's home by the container's /etc/passwd (passwd(5)), which is not to be trusted."""
    with suppress(OSError):
        # It may be a pipe that nobody writes to, or a terminal.
        with kept_open(os.open("/etc/passwd", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)) as descriptor:
            text = os.read(descriptor, 1 << 20).decode("utf-8", "surrogateescape")
        for line in text.splitlines():
            fields = line.split(":")
            if len(fields) > 5 and fields[2] == str(uid) and fields[5] and "\0" not in fields[5]:
                return fields[5]
    return "/"


def _restore_signals() -> None:
    """What Python changed: ignored signals stay ignored over execve(2), and so does the mask (signal(7))."""
    for number in signal.valid_signals():
        if signal.getsignal(number) != signal.SIG_DFL:  # as Python found it at its start, or set it
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
