"""Reads YAML without losing where things stand, so that an error can name the line.

``yaml.safe_load`` gives dictionaries, which know no lines and silently keep the last of two equal keys. Here the
document stays a tree of PyYAML's nodes; each has a mark. Scalars are taken as they are written: ``kernel: 6.10`` is the
text ``6.10`` and not the number 6.1, and ``v1: no`` is the text ``no`` until somebody asks for a truth value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from labkit.errors import ConfigError
from labkit.host.lab.names import did_you_mean


@dataclass(frozen=True)
class Value:
    """One node of the document and what it is called there (``machines.default.cpus``)."""

    file: Path
    name: str
    node: yaml.Node
    key: yaml.Node | None = None
    """The key that it is the value of; its line is what a reader looks for when something is missing in a mapping."""

    @property
    def line(self) -> int:
        """The line on which it stands, from 1: a scalar's own, else its key's."""
        node = self.node if isinstance(self.node, yaml.ScalarNode) and self.node.value else self.key or self.node
        return int(node.start_mark.line) + 1

    def error(self, message: str, hint: str = "") -> ConfigError:
        """An error that begins with ``FILE:LINE:``, which editors and terminals make clickable."""
        return ConfigError(f"{self.file}:{self.line}: {message}", hint)

    def wrong(self, expected: str, hint: str = "") -> ConfigError:
        """An error that says what was expected here and what is there."""
        return self.error(f"{self.name} should be {expected}, and is {self.description()}.", hint)

    def description(self) -> str:
        """What is written there, in a few words."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return f"“{self.node.value}”" if self.node.value else "empty"

    def text(self) -> str:
        """The scalar as it is written."""
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value:
            raise self.wrong("one word or text")
        return str(self.node.value)

    def choice(self, choices: Iterable[str]) -> str:
        """The scalar, which must be one of ``choices``."""
        known = list(choices)
        text = self.text()
        if text not in known:
            raise self.wrong(f"one of {', '.join(known)}", did_you_mean(text, known).rstrip())
        return text

    def integer(self, least: int, most: int) -> int:
        """A whole number between ``least`` and ``most``, both allowed."""
        text = self.text() if isinstance(self.node, yaml.ScalarNode) else ""
        # isdecimal alone would let other scripts' digits through, which int() understands and people do not.
        if not (text.isascii() and text.isdecimal() and len(text) < 19 and least <= int(text) <= most):
            raise self.wrong(f"a whole number from {least} to {most}")
        return int(text)

    def items(self) -> list[Value]:
        """The members of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("a list such as [one, two]")
        return [Value(self.file, f"{self.name}[{index}]", node) for index, node in enumerate(self.node.value)]

    def choices(self, known: Iterable[str]) -> tuple[str, ...]:
        """A list of words, at least one, each one of ``known``, none twice."""
        allowed, found = list(known), list[str]()
        for item in self.items():
            word = item.choice(allowed)
            if word in found:
                raise item.error(f"{self.name} has “{word}” twice.", "Remove one of the two.")
            found.append(word)
        if not found:
            raise self.error(f"{self.name} is empty.", f"It can have: {', '.join(allowed)}.")
        return tuple(found)

    def mapping(self, what: str, keys: Iterable[str] | None = None, required: Iterable[str] = ()) -> dict[str, Value]:
        """Its members; none where nothing is written (``default:``).

        ``what`` says what is expected; ``keys``, where given, are all the keys that may occur.
        """
        if self.description() not in ("a mapping", "empty"):
            raise self.wrong(what)
        allowed = None if keys is None else list(keys)
        hint = f"The keys are: {', '.join(allowed or ())}."
        members: dict[str, Value] = {}
        for key_node, value_node in self.node.value:
            key = Value(self.file, f"the key in {self.name}", key_node)
            name = key.text()
            if allowed is not None and name not in allowed:
                raise key.error(f"{self.name} has no key “{name}”.", did_you_mean(name, allowed) + hint)
            if name in members:
                raise key.error(
                    f"{self.name} has the key “{name}” twice; the first is on line {members[name].line}.",
                    "Remove one of the two.",
                )
            called = name if self.name == self.file.name else f"{self.name}.{name}"
            members[name] = Value(self.file, called, value_node, key_node)
        for name in required:
            if name not in members:
                raise self.error(f"{self.name} needs the key {name}.", hint)
        return members


def parse(text: str, file: Path) -> Value:
    """The document in ``text``; ``file`` is for messages. ConfigError where it is not one YAML document."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(
            f"{file}:{line}: this is not YAML: {error.problem or error.context}.",
            "Look at that line and the one above it: indentation, a missing colon, an unclosed quote, a tab.",
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        # (The character is a number where text was read and bytes where bytes were; types-PyYAML knows the latter.)
        number = int(error.character)
        raise ConfigError(f"{file}:{line}: the character U+{number:04X} may not occur in YAML.", "Remove it.") from None
    except RecursionError:
        raise ConfigError(f"{file}:1: this is nested too deeply.", "Nothing in this file needs five levels.") from None
    if node is None:
        raise ConfigError(f"{file}:1: the file is empty.", "`git checkout` brings the original back.")
    return Value(file, file.name, node)


def read(file: Path) -> Value:
    """The document in ``file``."""
    if not file.exists():
        raise ConfigError(f"There is no file {file}.", "Run this in the project's checkout.")
    return parse(read_text(file), file)


def read_text(file: Path, what: str = "") -> str:
    """A file of UTF-8. ConfigError for another; ``what`` begins its sentence ("The lesson ")."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{what}{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: the text is not UTF-8.", "Save the file as UTF-8.") from None
