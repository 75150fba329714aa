"""A command line as docker and runc read it: ``--name value``, ``--name=value``, one dash or two, ``-it``.

Options may follow the arguments, except where these are another program's command line. The standard ``argparse`` costs
8 ms to import, which is as much as Python's own start.
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.std import importlib
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import TYPE_CHECKING, Any, TypeVar

Verb = TypeVar("Verb", bound="Callable[..., int]")


@dataclass(frozen=True)
class Option:
    """One option. ``names`` are without dashes, the first one counts; ``metavar`` is empty for a switch."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    default: Any = None
    many: bool = False
    """Given more than once: a list."""
    kind: str = ""
    """``int`` or ``float`` where the default does not tell."""
    hidden: bool = False
    """Not shown in the help: others write it out of habit, and it changes nothing."""

    def parsed(self, text: str) -> Any:
        """The value in the type of the default: a number where that is one."""
        kind = self.kind or type(self.default).__name__
        if kind not in ("int", "float"):
            return text
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:
            wanted = "a whole number" if kind == "int" else "a number"
            raise UsageError(f'invalid value "{text}" for flag -{self.names[0]}: it must be {wanted}') from None


#: What many commands have; HELP has each.
HELP = Option(("help", "h"), "show this")
EXPLAIN = Option(("explain",), "print each operation as it is done")
DRY_RUN = Option(("dry-run",), "print what would be done as a shell script, and do nothing")
JSON = Option(("json",), "as JSON")


@dataclass(frozen=True)
class Command:
    """One command's command line."""

    usage: str
    """What follows the options, as ``CONTAINER [SIGNAL]``."""
    options: tuple[Option, ...] = ()
    least: int = 1
    most: int = 1
    """How many arguments there may be; -1 for any number."""
    examples: tuple[str, ...] = ()
    takes_program: bool = False
    """What follows the first argument belongs to a program: no options are looked for there."""


class Flags:
    """The parsed options: one attribute each, dashes become underscores."""

    def __init__(self, known: tuple[Option, ...] = ()) -> None:
        for option in known:
            self.set(option, [] if option.many else option.default if option.metavar else False)

    def set(self, option: Option, value: Any) -> None:
        """Give an option its value."""
        setattr(self, option.names[0].replace("-", "_"), value)

    if TYPE_CHECKING:  # each has the type of its default

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


@dataclass(frozen=True)
class VerbCall:
    """One call of a verb of ``labkit``."""

    options: Flags
    arguments: list[str]
    words: list[str]
    """The whole command line, as it was typed."""


def verb(usage: str, *options: Option, **more: Any) -> Callable[[Verb], Verb]:
    """Makes a function a verb: it has a COMMAND, and its docstring is the help. ``more`` is as with ``Command``."""

    def mark(function: Verb) -> Verb:
        setattr(function, "COMMAND", Command(usage, options, **more))  # noqa: B010 - a function's type has none
        return function

    return mark


def find(package: str, together: dict[str, tuple[str, ...]], name: str) -> Any:
    """The function of a command, from the module of ``together`` that has it, or the one of its own name.

    It ends in ``_`` where its name alone means something else there.
    """
    module = next((module for module, names in together.items() if name in names), name)
    loaded = importlib.import_module(f"labkit.runtime.cli.{package}{module.replace('-', '_')}")
    word = name.replace("-", "_")
    return getattr(loaded, f"{word}_", None) or getattr(loaded, word)


def parse(known: tuple[Option, ...], words: list[str], stop_at_first: bool) -> tuple[Flags, list[str]]:
    """The options, and the arguments that are none. UsageError for an unknown option or a missing value.

    ``stop_at_first``: everything from the first argument on is an argument. ``--`` ends the options, too.
    """
    table = {name: option for option in known for name in option.names}
    options = Flags(known)
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return options, arguments + rest
        if len(word) < 2 or word[0] != "-":
            arguments.append(word)
            if stop_at_first:
                return options, arguments + rest
            continue
        name, equals, value = word.lstrip("-").partition("=")
        option = table.get(name)
        if option is None and word[1] != "-" and word[1] in table:
            rest = _apart(word, table) + rest
            continue
        if option is None:
            raise UsageError(f"flag provided but not defined: -{name}", "see --help")
        if not option.metavar:
            options.set(option, _switch(name, value) if equals else True)
            continue
        if not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}", "see --help")
            value = rest.pop(0)
        parsed = option.parsed(value)
        options.set(option, [*getattr(options, option.names[0].replace("-", "_")), parsed] if option.many else parsed)
    return options, arguments


def _apart(word: str, table: dict[str, Option]) -> list[str]:
    """``-it`` as ``-i -t``, ``-p80:80`` as ``-p 80:80``, ``-itp 80:80`` as ``-i -t -p 80:80``."""
    if table[word[1]].metavar:
        return [word[:2], word[2:]]
    return [word[:2], f"-{word[2:]}"]


def _switch(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise UsageError(f'invalid boolean value "{value}" for -{name}', "as --force or --force=false")
    return value.lower() in ("true", "1", "t")


def check_count(program: str, name: str, command: Command, arguments: list[str]) -> None:
    """UsageError in runc's words where there are too few or too many."""
    count = len(arguments)
    if command.least <= count and (command.most < 0 or count <= command.most):
        return
    if command.least == command.most:
        wanted = f"exactly {command.least}"
    else:
        wanted = f"a minimum of {command.least}" if count < command.least else f"a maximum of {command.most}"
    raise UsageError(f'{program}: "{name}" requires {wanted} argument(s)', f"see '{program} {name} --help'")


def help_of(known: tuple[Option, ...]) -> str:
    """The options as rows of the help."""
    rows = []
    for option in known:
        if option.hidden:
            continue
        dashed = ", ".join(("-" if len(name) == 1 else "--") + name for name in reversed(option.names))
        rows.append((f"{dashed} {option.metavar}".rstrip(), option.help))
    width = max((len(left) for left, _ in rows), default=0)
    return "\n".join(f"  {left:<{width}}  {right}" for left, right in rows)
