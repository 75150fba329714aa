"""Follow a template's tree with an entry in hand."""

from __future__ import annotations

from labkit.runtime.cli import gotypes
from labkit.runtime.cli.template.functions import Refusal
from labkit.runtime.cli.template.parse import Pipe, Term, refuse
from labkit.runtime.std.collections.abc import Callable, Iterator
from labkit.runtime.std.typing import Any, NoReturn

#: Go's names of fields that JSON spells otherwise: docker takes both.
_ALIASES = {"ID": "Id", "HostIP": "HostIp"}


def execute(template: str, tree: list[Any], entry: Any, functions: dict[str, Callable[..., Any]]) -> str:
    """The text that it comes to. UsageError where a field or function is not there, or not for what it is given."""
    run = _Run(template, entry, functions)
    run.nodes(tree, entry)
    return "".join(run.written)


class _Left(Exception):  # noqa: N818 - no error: a loop is left
    """``{{break}}`` or ``{{continue}}``."""


class _Run:
    def __init__(self, template: str, entry: Any, functions: dict[str, Callable[..., Any]]) -> None:
        self.template = template
        self.entry = entry
        self.functions = functions
        self.variables: list[tuple[str, Any]] = [("$", entry)]
        """Those in sight, the innermost last."""
        self.written: list[str] = []

    def nodes(self, nodes: list[Any], dot: Any) -> None:
        """What is declared in them is forgotten at their end."""
        known = len(self.variables)
        for word, *given in nodes:
            getattr(self, word)(dot, *given)
        del self.variables[known:]

    def text(self, dot: Any, text: str) -> None:
        self.written.append(text)

    def show(self, dot: Any, pipe: Pipe) -> None:
        """An assignment prints nothing."""
        value = self.pipe(pipe, dot)
        if not pipe.names:
            self.written.append(gotypes.text(value))

    def leave(self, dot: Any, word: str) -> None:
        raise _Left(word)

    def branch(self, dot: Any, kind: str, pipe: Pipe, body: list[Any], other: list[Any]) -> None:
        known = len(self.variables)
        value = self.pipe(pipe, dot, loop=kind == "range")
        pairs = list(self.pairs(pipe, value)) if kind == "range" else []
        if not (pairs if kind == "range" else gotypes.is_true(value)):
            self.nodes(other, dot)
        elif kind == "range":
            self.loop(pipe.names, pairs, body)
        else:
            self.nodes(body, value if kind == "with" else dot)
        del self.variables[known:]

    def loop(self, names: tuple[str, ...], pairs: list[tuple[Any, Any]], body: list[Any]) -> None:
        known = len(self.variables)
        for key, part in pairs:
            # With one name it is the element's, with two the first is the index's or the key's.
            self.variables += zip(names, (key, part) if len(names) == 2 else (part,))
            try:
                self.nodes(body, part)
            except _Left as left:
                if str(left) == "break":
                    break
            finally:
                del self.variables[known:]

    def pairs(self, pipe: Pipe, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, dict):
            return ((key, value[key]) for key in sorted(value) if not callable(value[key]))
        if value is None:
            return iter(())
        if not isinstance(value, (list, gotypes.Nothing)):
            refuse(self.template, pipe.place, f"range cannot go through '{gotypes.text(value)}'", "a list or a map")
        return iter(enumerate(value))

    def pipe(self, pipe: Pipe, dot: Any, loop: bool = False) -> Any:
        """Its value; each command's is the next one's last argument."""
        given: tuple[Any, ...] = ()
        for command in pipe.commands:
            given = (self.command(command, dot, given),)
        if not loop:
            for name in pipe.names:
                self.assign(pipe, name, given[0])
        return given[0]

    def assign(self, pipe: Pipe, name: str, value: Any) -> None:
        if pipe.declares:
            self.variables.append((name, value))
            return
        for place in reversed(range(len(self.variables))):
            if self.variables[place][0] == name:
                self.variables[place] = (name, value)
                return
        refuse(self.template, pipe.place, f"there is no variable {name}", f"declare it: {{{{{name} := …}}}}")

    def command(self, terms: tuple[Term, ...], dot: Any, given: tuple[Any, ...]) -> Any:
        first, *rest = terms
        if first.kind == "function":
            return self.call(first, rest, dot, given)
        value = self.term(first, dot, call=not (rest or given))
        if callable(value):
            return self.method(value, first, *[self.term(term, dot) for term in rest], *given)
        if rest or given:
            refuse(self.template, first.place, "that is no function: nothing can be given to it")
        return value

    def call(self, first: Term, rest: list[Term], dot: Any, given: tuple[Any, ...]) -> Any:
        name = str(first.value)
        if name in ("and", "or"):  # what follows the decisive one is not looked at
            return self.decide(name == "or", first, rest, dot, given)
        function = self.functions.get(name)
        if function is None:
            refuse(self.template, first.place, f"there is no function '{name}'", ", ".join(sorted(self.functions)))
        arguments = [*(self.term(term, dot) for term in rest), *given]
        try:
            return function(*arguments)
        except Refusal as refusal:
            refuse(self.template, first.place, str(refusal))
        except TypeError:
            refuse(self.template, first.place, f"{name} cannot be called with {len(arguments)} of these")

    def decide(self, wanted: bool, first: Term, rest: list[Term], dot: Any, given: tuple[Any, ...]) -> Any:
        value: Any = None
        if not rest and not given:
            refuse(self.template, first.place, f"{first.value} needs something to decide on")
        for term in rest:
            value = self.term(term, dot)
            if gotypes.is_true(value) is wanted:
                return value
        return given[0] if given else value

    def term(self, term: Term, dot: Any, call: bool = True) -> Any:
        """A word's value; ``call``: methods without arguments are called."""
        if term.kind == "constant":
            return term.value
        if term.kind == "function":
            return self.call(term, [], dot, ())
        if term.kind == "pipe":
            value = self.pipe(term.value, dot)
        elif term.kind == "variable":
            known = [value for name, value in self.variables if name == term.value]
            if not known:
                refuse(self.template, term.place, f"there is no variable {term.value}")
            value = known[-1]
        else:
            value = dot
        for number, name in enumerate(term.fields):
            value = self.field(value, name, term, number)
            if callable(value) and (call or number < len(term.fields) - 1):
                value = self.method(value, term)
        return value

    def method(self, method: Callable[..., Any], term: Term, *given: Any) -> Any:
        try:
            return method(*given)
        except TypeError:
            name = f".{term.fields[-1]}" if term.fields else "that"
            why = f"cannot be called with {len(given)} of these" if given else "needs an argument"
            refuse(self.template, term.place, f"{name} {why}", 'as {{.Label "name"}}')

    def field(self, value: Any, name: str, term: Term, number: int) -> Any:
        if isinstance(value, dict):
            found = name if name in value else _ALIASES.get(name, name)
            if found in value:
                return value[found]
            if isinstance(value, gotypes.Mapping):
                return gotypes.NO_VALUE
        return self.unknown(value, name, term, number)

    def unknown(self, value: Any, name: str, term: Term, number: int) -> NoReturn:
        """One sentence with the nearest field: one of that name elsewhere, or one there that is spelled alike."""
        start = str(term.value) if term.kind == "variable" else "(…)" if term.kind == "pipe" else ""
        before = start + "".join(f".{field}" for field in term.fields[:number])
        why = f"there is no field '{before}.{name}'"
        if not isinstance(value, dict):
            refuse(self.template, term.place, f"{why}: '{before or '.'}' has no fields")
        near = _alike(name, value)
        whole = _places(self.entry, name, "") if not near else []
        nearest = f"{before}.{near}" if near else min(whole, key=len, default="")
        refuse(
            self.template,
            term.place,
            why + (f", the nearest is '{nearest}'" if nearest else ""),
            f"{{{{json {before or '.'}}}}} shows those that there are",
        )


def _alike(name: str, known: dict[str, Any]) -> str:
    from difflib import get_close_matches  # local: it is for errors

    lower = {field.lower(): field for field in reversed(list(known))}
    found = get_close_matches(name.lower(), lower, 1, 0.6)
    return lower[found[0]] if found else ""


def _places(value: Any, name: str, before: str) -> list[str]:
    """Where a field of that name is, in structs within structs."""
    if not isinstance(value, dict) or isinstance(value, gotypes.Mapping):
        return []
    here = [f"{before}.{field}" for field in value if field.lower() == name.lower()]
    return here + [place for field in value for place in _places(value[field], name, f"{before}.{field}")]
