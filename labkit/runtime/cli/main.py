"""Parse, call the verb, answer for its errors.

A verb is a function of a VerbCall with ``COMMAND``, which describes its command line, and its help as a docstring. Only
its module is imported.
"""

from __future__ import annotations

import os
import sys
import time

from labkit import __version__, log
from labkit.errors import LabkitError, MissingToolError, UsageError, one_line
from labkit.runtime.cli import descriptors, flags
from labkit.runtime.cli.flags import HELP, Command, VerbCall, check_count, help_of, parse
from labkit.runtime.std.collections.abc import Sequence
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import Any

#: Verb -> what it does, in the order of the help.
VERBS = {
    "run": "make a container from an image and start it",
    "create": "make a container and do not start it yet",
    "start": "start containers that do not run",
    "ps": "list containers",
    "stop": "stop containers",
    "restart": "stop containers and start them again",
    "kill": "send a signal to containers",
    "wait": "wait until containers have ended",
    "attach": "show what a running container writes, and type into it",
    "pause": "stop a container's processes where they are",
    "unpause": "let a paused container go on",
    "update": "change a running container's limits",
    "stats": "show what running containers use",
    "rm": "remove containers",
    "exec": "run a program in a running container",
    "logs": "show what a container wrote",
    "network": "make networks, and join containers to them",
    "packet-walk": "follow a connection through a published port",
    "events": "show what happens to containers, as it happens",
    "port": "show where a container's published ports lead from",
    "diff": "show what a container has changed in its root file system",
    "top": "show a container's processes",
    "rename": "give a container another name",
    "cp": "copy files out of a container, or into one",
    "inspect": "show all that is known of a container or an image, as JSON",
    "explain": "show what a container was made by, and what the kernel says of it now",
    "prune": "remove the containers that do not run",
    "info": "show what this machine has for containers",
    "version": "show labkit's version, and those of what it runs on",
    "images": "list images",
    "load": "load images from an archive",
    "spec": "print the specification that a run would use",
    "volume": "directories that outlive containers: create, list, show and remove them",
    "gc": "take back what killed commands and containers left behind",
}

#: Modules, ``verb_…``, that have several; any other verb has its own.
_TOGETHER = {
    "run": ("run", "create", "spec", "update"),
    "life": tuple("start stop restart kill wait attach pause unpause rm rename prune gc".split()),
    "show": ("logs", "top", "diff", "port", "info", "version"),
    "images": ("images", "load"),
    "explain": ("explain", "packet-walk"),
}

#: docker's status for "labkit itself failed", where the status is otherwise the container's own.
FAILED = 125
_PASSES_STATUS_ON = ("run", "create", "start", "attach", "exec", "spec")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default); the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = words[0] if words else ""
    descriptors.have_three()
    try:
        log.listen_as_environment_says()
        if verb in VERBS:
            found = find(verb)
            call = read_call(verb, found, words)
            if call is None:
                return 0
            _prepare()
            status = _do(found, call)
            sys.stdout.flush()
            return status
        return _without_verb(verb)
    except LabkitError as error:
        return _explain(error, verb)
    except KeyboardInterrupt:
        print("labkit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return descriptors.lead_nowhere()
    except Exception:
        return _own_bug(words)


def find(verb: str) -> Any:
    """The function of a verb."""
    return flags.find("verb_", _TOGETHER, verb)


def read_call(verb: str, found: Any, words: list[str]) -> VerbCall | None:
    """What was typed, read as the verb's command line; None when that was a question for help, which is answered."""
    command: Command = found.COMMAND
    taken = any("h" in option.names for option in command.options)  # run's -h is a host name, as docker's
    known = (*command.options, replace(HELP, names=("help",)) if taken else HELP)
    hint = f"see 'labkit {verb} --help'"
    try:
        options, arguments = parse(known, words[1:], command.takes_program)
    except UsageError as error:
        raise UsageError(f"labkit {verb}: {error.message}", hint) from None
    if options.help:
        from inspect import cleandoc  # local: it takes 10 ms

        print(f"usage: labkit {verb} [OPTION …] {command.usage}".rstrip())
        print(f"\n{cleandoc(found.__doc__ or '')}\n\nOptions:\n{help_of(known)}")
        return None
    try:
        check_count("labkit", verb, command, arguments)
    except UsageError:
        raise UsageError(f"labkit {verb}: it takes {command.usage or 'no arguments'}", hint) from None
    return VerbCall(options, arguments, words)


def subcommand(call: VerbCall, verb: str, commands: Sequence[Any]) -> int:
    """Call the command that a verb with ``commands`` is given, as ``labkit network ls``."""
    word = call.arguments[0] if call.arguments else ""
    known = {command.__name__: command for command in commands}
    chosen = known.get({"list": "ls", "remove": "rm"}.get(word, word))
    if chosen is None:
        said = f"labkit {verb} has no command '{word}'" if word else f"labkit {verb} needs a command"
        raise UsageError(said, f"one of {', '.join(known)}; see 'labkit {verb} --help'")
    own = read_call(f"{verb} {chosen.__name__}", chosen, call.arguments)
    return 0 if own is None else _do(chosen, own)


def _do(found: Any, call: VerbCall) -> int:
    if getattr(call.options, "explain", False):
        from labkit.runtime.cli.explain import Explainer  # local: few ask

        log.listen(Explainer())
    status: int = found(call)
    return status


def _prepare() -> None:
    """Only root can do any of it, and only root may look in: images hold set-user-ID programs of other systems."""
    if os.geteuid() != 0:
        raise MissingToolError("labkit must run as root", f"sudo labkit {' '.join(sys.argv[1:])}")
    for directory in ("/var/lib/labkit", "/run/labkit"):
        os.makedirs(directory, mode=0o700, exist_ok=True)


def _without_verb(word: str) -> int:
    if word in ("--version", "-V"):
        print(f"labkit {__version__}")
        return 0
    if word in ("", "--help", "-h", "help"):
        print(_help())
        return 0
    from difflib import get_close_matches

    near = get_close_matches(word, VERBS, 3)
    raise UsageError(
        f"labkit has no command '{word}'", f"did you mean {' or '.join(near)}?" if near else "see 'labkit --help'"
    )


def _help() -> str:
    rows = [f"  {verb:<12}{words}" for verb, words in VERBS.items()]
    return "\n".join(
        [
            "labkit makes containers and explains how. Usage: labkit COMMAND [OPTION …]",
            "",
            *rows,
            "",
            "labkit COMMAND --help tells more of each, with examples. --version shows the version.",
        ]
    )


def _explain(error: LabkitError, verb: str) -> int:
    print(f"labkit: {one_line(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {one_line(error.hint)}", file=sys.stderr)
    return FAILED if verb in _PASSES_STATUS_ON and not error.passes_status_on else error.exit_status


def _own_bug(words: list[str]) -> int:
    """A traceback for us, the place of it for the user."""
    import traceback

    text = traceback.format_exc()
    path = f"/var/log/labkit-bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"labkit {__version__}, arguments {words!r}\n{text}")
    except OSError:
        path = "(the log could not be written)"
    print(f"{text}\nlabkit: this is a bug of labkit, not yours. Please report it with {path}", file=sys.stderr)
    return FAILED
