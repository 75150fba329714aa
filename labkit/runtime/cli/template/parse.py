"""A template's text as a tree of nodes: text/template's grammar without ``define``, ``template`` and ``block``."""

from __future__ import annotations

import re

from labkit.errors import UsageError
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.typing import Any, NoReturn


@dataclass(frozen=True)
class Term:
    """A word of a command, and the fields that are taken of it: ``.A.B``, ``$x.A``, ``(…).A``, ``"text"``, ``len``."""

    kind: str
    """``dot``, ``variable``, ``function``, ``constant`` or ``pipe``."""
    value: Any
    fields: tuple[str, ...]
    place: int
    """Where it stands in the template, counted from 0."""


@dataclass(frozen=True)
class Pipe:
    """``$a, $b := command | command``."""

    names: tuple[str, ...]
    declares: bool
    """``:=``, and not ``=``."""
    commands: tuple[tuple[Term, ...], ...]
    place: int


# A node is a tuple: its word, and what follow.py's method of that word is given besides the dot.
#   ("text", TEXT)                       what stands between the actions
#   ("show", PIPE)                       {{pipe}}
#   ("branch", KIND, PIPE, BODY, OTHER)  {{if}}, {{with}} or {{range}}, and the nodes after its {{else}}
#   ("leave", WORD)                      {{break}} or {{continue}}

_TOKEN = re.compile(
    r"""(?P<end>\s+-}}\s*|}}) | (?P<space>\s+) | (?P<string>"(?:[^"\\\n]|\\.)*") | (?P<raw>`[^`]*`)
    | (?P<number>[-+]?[0-9]{1,18}(?:\.[0-9]+)?) | (?P<word>[A-Za-z_]\w*) | (?P<field>\.[A-Za-z_]\w*)
    | (?P<variable>\$\w*) | (?P<sign>:=|[=|(),.])""",
    re.VERBOSE,
)
_COMMENT = re.compile(r"{{(-\s+)?/\*.*?\*/(\s+-)?}}", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_CONSTANTS = {"true": True, "false": False, "nil": None}
_OPENING = ("if", "with", "range")
_ABSENT = ("define", "template", "block")


def refuse(template: str, place: int, why: str, hint: str = "") -> NoReturn:
    """UsageError that names the place."""
    near = template[place : place + 40].partition("}}")[0].strip()
    where = f"character {place + 1}, '{near}'" if near else "its end"
    raise UsageError(f"the template cannot be followed at {where}: {why}", hint or "a template is as {{.Name}}")


def parse(template: str) -> list[Any]:
    """Its nodes. UsageError for what cannot be read."""
    parser = _Parser(template)
    nodes, word, place = parser.nodes(in_loop=False)
    if word:
        refuse(template, place, f"there is nothing open for {{{{{word}}}}}")
    return nodes


class _Parser:
    """Reads from ``self.place`` on."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.place = 0
        self.trims = False
        """Whether the last action ended in ``-}}``: the blanks that follow do not count."""

    def nodes(self, in_loop: bool) -> tuple[list[Any], str, int]:
        """Up to an ``end`` or ``else``, or the end of all: the nodes, that word, and its place."""
        found: list[Any] = []
        while True:
            opened = self._text(found)
            if not opened:
                return found, "", self.place
            place = self.place
            kind, word = self._next()
            if word in ("end", "else"):
                return found, word, place
            if word in _ABSENT:
                refuse(self.template, place, f"labkit's templates have no {{{{{word}}}}}", "write it out")
            if word in ("break", "continue"):
                if not in_loop:
                    refuse(self.template, place, f"{{{{{word}}}}} is for the inside of {{{{range}}}}")
                self._close(place)
                found.append(("leave", word))
            elif word in _OPENING:
                found.append(self._branch(word, in_loop, place))
            else:
                pipe = self._pipe((kind, word), place)
                found.append(("show", pipe))

    def _text(self, found: list[Any]) -> bool:
        """Take the text up to the next action, which it enters; whether there is one."""
        text, opened, _ = self.template[self.place :].partition("{{")
        at = self.place + len(text)
        comment = _COMMENT.match(self.template, at)
        trims = re.compile(r"{{-\s").match(self.template, at)
        text = text.lstrip() if self.trims else text
        text = text.rstrip() if trims else text
        self.trims = False
        if text:
            found.append(("text", text.replace("\\t", "\t").replace("\\n", "\n")))
        if not opened:
            self.place = at
            return False
        if comment:
            self.place, self.trims = comment.end(), bool(comment[2])
            return self._text(found)
        self.place = trims.end() if trims else at + 2
        self._skip()
        return True

    def _skip(self) -> None:
        match = _TOKEN.match(self.template, self.place)
        if match and match.lastgroup == "space":
            self.place = match.end()

    def _next(self) -> tuple[str, str]:
        """The next token's kind and text."""
        match = _TOKEN.match(self.template, self.place)
        if not match:
            if self.place >= len(self.template):
                refuse(self.template, self.template.rfind("{{"), "{{ has no end")
            refuse(self.template, self.place, "that is not understood")
        self.place = match.end()
        if match.lastgroup == "end":
            self.trims = "-" in match[0]
            # Blanks after "-}}" are text: _text drops them.
            self.place = match.start() + match[0].index("}}") + 2
        return str(match.lastgroup), match[0]

    def _close(self, place: int) -> None:
        """The end of an action that takes nothing more."""
        self._skip()
        kind, _ = self._next()
        if kind != "end":
            refuse(self.template, place, "nothing more is expected here")

    def _branch(self, kind: str, in_loop: bool, place: int) -> tuple[Any, ...]:
        self._skip()
        pipe = self._pipe(self._next(), place)
        if not pipe.commands:
            refuse(self.template, place, f"{{{{{kind}}}}} needs to know of what")
        body, word, at = self.nodes(in_loop or kind == "range")
        other: list[Any] = []
        if word == "else":
            self._skip()
            after = self.place
            next_kind, next_word = self._next()
            if next_word in ("if", "with") and next_kind == "word":
                return "branch", kind, pipe, body, [self._branch(next_word, in_loop, after)]
            if next_kind != "end":
                refuse(self.template, after, "an {{else}} is followed by nothing, or by if")
            other, word, at = self.nodes(in_loop)
        if word != "end":
            refuse(self.template, place if not word else at, f"{{{{{kind}}}}} has no {{{{end}}}}")
        self._close(at)
        return "branch", kind, pipe, body, other

    def _pipe(self, token: tuple[str, str], place: int, closing: str = "") -> Pipe:
        """Commands up to the action's end, or to the ``closing`` bracket."""
        names, sign = self._names(token)
        if names and sign:
            self._skip()
            token = self._next()
        commands: list[list[Term]] = [[]]
        after_blank = True
        while not (token[0] == "end" and not closing) and token[1] != closing:
            kind, word = token
            start = self.place - len(word)
            if kind == "end":
                refuse(self.template, place, "a bracket is not closed")
            if word == "|":
                commands.append([])
                after_blank = True
            elif kind == "space":
                after_blank = True
            else:
                self._add(commands[-1], kind, word, start, after_blank)
                after_blank = False
            token = self._next()
        if (len(commands) > 1 or closing or names) and not all(commands):
            refuse(self.template, place, "a command is missing")
        if not all(commands):
            refuse(self.template, place, "there is nothing between {{ and }}")
        return Pipe(tuple(names), sign == ":=", tuple(map(tuple, commands)), place)

    def _names(self, token: tuple[str, str]) -> tuple[list[str], str]:
        """``$a, $b :=`` and ``$a =``; without a sign it is no assignment, and nothing is taken."""
        begin = self.place
        names: list[str] = []
        while token[0] == "variable":
            names.append(token[1])
            self._skip()
            _, sign = self._next()
            if sign in (":=", "="):
                return names, sign
            if sign != ",":
                break
            self._skip()
            token = self._next()
        self.place = begin
        return [], ""

    def _add(self, command: list[Term], kind: str, word: str, place: int, after_blank: bool) -> None:
        """A token is a new word, or a field of the word that it touches."""
        if not after_blank:
            last = command[-1] if command else None
            if kind != "field" or last is None or last.kind in ("constant", "function"):
                refuse(self.template, place, "a blank is missing before it, or there is no such field")
            command[-1] = replace(last, fields=(*last.fields, word[1:]))
        elif kind == "field":
            command.append(Term("dot", None, (word[1:],), place))
        elif word == ".":
            command.append(Term("dot", None, (), place))
        elif kind == "variable":
            command.append(Term("variable", word, (), place))
        elif word == "(":
            self._skip()
            command.append(Term("pipe", self._pipe(self._next(), place, ")"), (), place))
        elif kind == "word" and word not in _CONSTANTS:
            command.append(Term("function", word, (), place))
        elif kind in ("word", "string", "raw", "number"):
            command.append(Term("constant", _constant(kind, word), (), place))
        else:
            refuse(self.template, place, f"'{word}' is not expected here")


def _constant(kind: str, word: str) -> Any:
    if kind == "word":
        return _CONSTANTS[word]
    if kind == "number":
        return float(word) if "." in word else int(word)
    return word[1:-1] if kind == "raw" else _ESCAPE.sub(_escape, word[1:-1])


def _escape(match: re.Match[str]) -> str:
    letter = match[1]
    return chr(int(letter[1:], 16)) if len(letter) > 1 else _ESCAPES.get(letter, letter)
