"""labkit-oci: read the global options, call the command, answer for its errors.

A command is a function with ``COMMAND``, which describes its command line, and its help as a docstring. Only its module
is imported.
"""

from __future__ import annotations

import os
import sys

from labkit import log
from labkit.errors import LabkitError, UsageError
from labkit.runtime.cli import descriptors
from labkit.runtime.cli.flags import HELP, Command, Flags, Option, check_count, find, help_of, parse
from labkit.runtime.cli.oci.report import Invocation, Report
from labkit.runtime.kernel import process
from labkit.runtime.std.typing import Any

PROGRAM = "labkit-oci"

#: Command -> what it does, in the order of the help.
COMMANDS = {
    "create": "create a container",
    "start": "execute the program of a created container",
    "run": "create and run a container",
    "state": "output the state of a container",
    "kill": "send a signal (default: SIGTERM) to the container's first process",
    "delete": "delete a container and all that it holds",
    "exec": "run a program in a running container",
    "list": "list containers",
    "ps": "show a container's processes",
    "pause": "stop all processes of a container where they are",
    "resume": "let a paused container go on",
    "update": "change a running container's limits",
    "events": "show what a container uses",
    "spec": "write a config.json to begin with",
    "features": "print what this runtime can do, as JSON",
}

#: Modules that have several; any other command has its own.
_TOGETHER = {
    "making": ("create", "run"),
    "commands": tuple("start state kill delete list ps pause resume features".split()),
}

#: runc's commands that are refused by their names, and why.
REFUSED = {
    "checkpoint": ("refused: save a running container", "it would need criu, which labkit does not drive"),
    "restore": ("refused: restore a container from a checkpoint", "it would need criu, which labkit does not drive"),
}

GLOBAL = (
    Option(("root",), "directory of the containers' state; /run/labkit-oci is root's", "DIRECTORY", ""),
    Option(("log",), "write errors and warnings to this file, too", "FILE", ""),
    Option(("log-format",), "text (default) or json", "FORMAT", "text"),
    Option(("debug",), "log each operation"),
    Option(("systemd-cgroup",), "refused: labkit writes the cgroup tree itself"),
    Option(("cgroup-manager",), "cgroupfs is the only one", "NAME", "cgroupfs"),
    Option(("rootless",), "accepted as runc's; rights are found out by trying", "WHEN", "auto"),
    Option(("criu",), "accepted and not used", "PATH", ""),
    Option(("version", "v"), "print the version"),
    HELP,
)


class NoCommandError(UsageError):
    """There is no such command."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default); the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    report = Report()
    descriptors.have_three()
    try:
        options, rest = parse(GLOBAL, words, stop_at_first=True)
        report = Report(options.log, options.log_format, options.debug)
        if options.version:
            print(_version())
            return 0
        if options.help or not rest or rest[0] in ("help", "h"):
            return _print_help(rest[1:])
        if rest[0] not in {**COMMANDS, **REFUSED}:
            raise NoCommandError(f"No help topic for '{rest[0]}'", f"see '{PROGRAM} --help'")
        status = _run(rest[0], rest[1:], options, report)
        sys.stdout.flush()
        return status
    except LabkitError as error:
        report.error(error.message, error.hint)
        return 3 if isinstance(error, NoCommandError) else 1  # runc's status, and its words
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return descriptors.lead_nowhere()
    except Exception as bug:
        return _own_bug(report, bug)


def _usual_root() -> str:
    """Root's, or the user's own: XDG_RUNTIME_DIR is his, and ends with his session (pam_systemd(8))."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    return "/run/labkit-oci" if not own or process.is_root() else f"{own}/labkit-oci"


def _run(name: str, words: list[str], above: Flags, report: Report) -> int:
    """One command; ``above`` are the global options."""
    if name in REFUSED:
        if {"-h", "--help", "-help"} & set(words):
            return _print_help([name])
        raise UsageError(f"labkit-oci does not support {name}: {REFUSED[name][1]}", f"see '{PROGRAM} {name} --help'")
    found = _load(name)
    command: Command = found.COMMAND
    options, arguments = parse((*command.options, HELP), words, command.takes_program)
    if options.help:
        return _print_help([name])
    _check_cgroup_manager(above)
    check_count(PROGRAM, name, command, arguments)
    root = os.path.abspath(above.root or _usual_root())
    report.debug(" ".join((PROGRAM, name, *arguments)))
    log.listen(lambda event: _listen(report, event))
    status: int = found(Invocation(options, arguments, root, report))
    return status


def _listen(report: Report, event: log.Event) -> None:
    if event["event"] == "warning":
        report.warning(event["message"])
        return
    command = str(event.get("command", event["event"]))
    if command:  # what goes with something else is undone by no command of its own
        report.debug(command)


def _load(name: str) -> Any:
    """The function of a command."""
    return find("oci.", _TOGETHER, name)


def _check_cgroup_manager(options: Flags) -> None:
    if options.systemd_cgroup or options.cgroup_manager == "systemd":
        raise UsageError(
            "labkit-oci cannot use systemd's cgroup driver: it writes the cgroup tree itself",
            "configure cgroupfs: podman --cgroup-manager cgroupfs, containerd SystemdCgroup = false",
        )
    if options.cgroup_manager != "cgroupfs":
        raise UsageError(f"there is no cgroup manager '{options.cgroup_manager}'", "cgroupfs is the only one")


def _version() -> str:
    from labkit import __version__
    from labkit.runtime.oci.state import OCI_VERSION

    return f"{PROGRAM} version {__version__}\nspec: {OCI_VERSION}"


def _print_help(names: list[str]) -> int:
    """In runc's arrangement: whoever looks for a part of it finds it."""
    if not names:
        rows = [f"   {name:<11} {words}" for name, words in COMMANDS.items()]
        rows += [f"   {name:<11} {words}" for name, (words, _) in REFUSED.items()]
        print(f"NAME:\n   {PROGRAM} - a runtime of the Open Container Initiative: one container of a bundle, as runc\n")
        print(f"USAGE:\n   {PROGRAM} [global options] COMMAND [command options] CONTAINER\n")
        print(f"VERSION:\n   {_indented(_version()).strip()}\n")
        print("\n".join(["COMMANDS:", *rows, "   help, h     show this, or a command's help\n"]))
        print(f"GLOBAL OPTIONS:\n{_indented(help_of(GLOBAL))}\n")
        print(f"{PROGRAM} COMMAND --help tells more of each, with examples.")
        return 0
    if names[0] in REFUSED:
        words, why = REFUSED[names[0]]
        print(f"NAME:\n   {PROGRAM} {names[0]} - {words}\n\nDESCRIPTION:\n   It is refused: {why}.")
        return 0
    if names[0] not in COMMANDS:
        raise NoCommandError(f"No help topic for '{names[0]}'", f"see '{PROGRAM} --help'")
    found = _load(names[0])
    command: Command = found.COMMAND
    print(f"NAME:\n   {PROGRAM} {names[0]} - {COMMANDS[names[0]]}\n")
    print(f"USAGE:\n   {PROGRAM} {names[0]} [command options] {command.usage}".rstrip() + "\n")
    print(f"DESCRIPTION:\n{_indented(str(found.__doc__).strip())}\n")
    if command.examples:
        print("\n".join(["EXAMPLES:", *[f"   {PROGRAM} {example}" for example in command.examples], ""]))
    print(f"OPTIONS:\n{_indented(help_of((*command.options, HELP)))}")
    return 0


def _indented(text: str) -> str:
    return "\n".join(f"   {line.strip()}".rstrip() for line in text.splitlines())


def _own_bug(report: Report, bug: Exception) -> int:
    """A traceback for us on standard error, a sentence for the log."""
    import traceback

    traceback.print_exc()
    report.error(f"this is a bug of labkit-oci: {bug!r}", "please report it with the lines above")
    return 1
