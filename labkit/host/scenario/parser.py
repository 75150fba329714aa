r"""Reads a lesson: a README.md with front matter, ``##`` steps, prose and console blocks. Pure: text in, data out.

What it understands, and nothing more, so that the file stays an ordinary README on every code host::

    ---
    title: A process that believes it is alone
    minutes: 10
    needs: [pid-namespaces]
    claims: [D4, D5]
    ---
    Prose before the first step is the introduction.

    ## Start redis                        a step; its id is "start-redis"
    ## Look from outside {#outside}       a step whose id is given

    ```console                            also: console exit=1 timeout=60
    $ echo one \
    > two                                 continues the command
    one two                               the output to expect; ... is anything
    ```

A ``##`` section without commands is no step; it becomes part of what stands before it. A ``<details>`` with
a ``<summary>`` is an answer that the reader should look for first. Everything that cannot be meant is a
``ConfigError`` that begins with ``FILE:LINE:``.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.errors import ConfigError
from labkit.host.lab import yamlmarks
from labkit.host.lab.names import suggestion
from labkit.host.scenario.model import Command, Lesson, Part, Prose, Step
from labkit.host.scenario.needs import NEEDS

_KEYS = ("title", "minutes", "needs", "claims")
_HEADING = re.compile(r"(?P<title>.*?)(?: +\{#(?P<id>[^}]*)\})?")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CLAIM = re.compile(r"[A-I][1-9][0-9]?")
_ANSWER = re.compile(
    r".*?<details>.*?<summary>(?P<summary>.*?)</summary>(?P<text>.*?)</details>(?P<after>.*)", re.DOTALL
)
_DETAILS = (
    "Write <details><summary>Answer</summary>, an empty line, the answer, an empty line, </details>; "
    "a console block cannot stand inside."
)


def parse(text: str, path: Path) -> Lesson:
    """The lesson in ``text``. ``path`` names it (its directory's name is the lesson's) and is used in messages."""
    lines = text.replace("\r\n", "\n").split("\n")
    end = _front_matter_end(lines, path)
    front = _front_matter(lines[1:end], path)
    introduction, steps = _body(lines, end + 1, path)
    if not steps:
        raise ConfigError(
            f"{path}:{len(lines)}: the lesson has no step.",
            "A step is a `##` heading with a ```console block below it that has a line beginning with `$ `.",
        )
    return Lesson(name=path.parent.name, path=path, introduction=tuple(introduction), steps=tuple(steps), **front)


def read(path: Path) -> Lesson:
    """The lesson in the file ``path``."""
    return parse(yamlmarks.read_text(path, "The lesson "), path)


# ---- front matter


def _front_matter_end(lines: list[str], path: Path) -> int:
    """The index of the ``---`` that ends the front matter."""
    if lines[0].rstrip() != "---":
        raise ConfigError(
            f"{path}:1: a lesson begins with front matter, and this line is not `---`.",
            f"Begin with `---`, lines for {', '.join(_KEYS)}, and `---`.",
        )
    with contextlib.suppress(ValueError):
        return [line.rstrip() for line in lines].index("---", 1)
    raise ConfigError(f"{path}:1: the front matter that begins here does not end.", "End it with a line `---`.")


def _front_matter(lines: list[str], path: Path) -> dict[str, Any]:
    """The four keys, as fields of the model. An empty line is put in front: so YAML's line numbers are the file's."""
    members = yamlmarks.parse("\n" + "\n".join(lines), path).mapping("a mapping of " + ", ".join(_KEYS), _KEYS)
    for required in ("title", "minutes"):
        if required not in members:
            raise ConfigError(f"{path}:1: the front matter needs the key {required}.", f"The keys: {', '.join(_KEYS)}.")
    needs, claims = (members[key].items() if key in members else [] for key in ("needs", "claims"))
    for need in needs:
        if need.text() not in NEEDS:
            raise need.error(f"there is no need called “{need.text()}”.", suggestion(need.text(), NEEDS))
    for claim in claims:
        if not _CLAIM.fullmatch(claim.text()):
            raise claim.wrong("a claim's id such as E7")
    return {
        "title": members["title"].text(),
        "minutes": members["minutes"].integer(1, 240),
        "needs": tuple(need.text() for need in needs),
        "claims": tuple(claim.text() for claim in claims),
    }


# ---- the body


def _body(lines: list[str], start: int, path: Path) -> tuple[list[Part], list[Step]]:
    """Introduction and steps. (The front matter becomes empty lines, so that a token's lines are the file's.)"""
    introduction: list[Part] = []
    steps: list[Step] = []
    tokens = MarkdownIt("commonmark").parse("\n" * start + "\n".join(lines[start:]))
    for section in _sections(tokens, lines, start, path):
        if any(isinstance(part, Command) for part in section.parts):
            if not section.title:
                message = "commands stand before the first step."
                raise _error(path, section.line, message, "Put a `##` heading above them.")
            for other in [step for step in steps if step.id == section.id]:
                message = f"two steps have the id {section.id}, the other on line {other.line}."
                raise _error(path, section.line, message, "Give one of them an id of its own: `## Title {#id}`.")
            steps.append(section)
            continue
        heading: list[Part] = [Prose(f"## {section.title}")] if section.title else []
        if steps:
            steps[-1] = replace(steps[-1], parts=(*steps[-1].parts, *heading, *section.parts))
        else:
            introduction += [*heading, *section.parts]
    return introduction, steps


def _sections(tokens: list[Token], lines: list[str], start: int, path: Path) -> Iterator[Step]:
    """The text cut at its ``##`` headings. The first section has no heading."""
    id_, title, line = "", "", start + 1
    parts: list[Part] = []
    answer = -1
    """Where a <details> began that has not ended yet."""

    def prose_until(end: int) -> None:
        """Add the lines from ``start`` on, which are Markdown for the reader."""
        if answer >= 0:
            raise _error(path, end, "a <details> above this line has no </details>.", _DETAILS)
        text = "\n".join(lines[start:end])
        if text.strip():
            parts.append(Prose(text.strip("\n")))

    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        if not token.map or (token.level and token.type != "fence"):
            continue
        if token.type == "heading_open" and token.tag == "h2":
            prose_until(token.map[0])
            yield Step(id_, title, line, tuple(parts))
            id_, title, line = *_heading(following.content, path, token.map[0] + 1), token.map[0] + 1
            parts, start = [], token.map[1]
        elif token.type == "fence":
            if _check_fence(token, lines, path):
                prose_until(token.map[0])
                parts += _console(token, path)
                start = token.map[1]
        elif token.type == "html_block":
            if answer < 0 and "<details>" in token.content:
                prose_until(token.map[0])
                answer = token.map[0]
            if answer >= 0 and "</details>" in token.content:
                parts += _answer("\n".join(lines[answer : token.map[1]]), path, token.map[1])
                answer, start = -1, token.map[1]
    prose_until(len(lines))
    yield Step(id_, title, line, tuple(parts))


def _error(path: Path, line: int, message: str, hint: str = "") -> ConfigError:
    return ConfigError(f"{path}:{line}: {message}", hint)


def _heading(text: str, path: Path, line: int) -> tuple[str, str]:
    """A step's id, which the heading gives, or else the slug of its words; and its title."""
    heading = _HEADING.fullmatch(text)
    assert heading, "it matches anything"
    title, given = heading["title"], heading["id"]
    if given is not None and not _ID.fullmatch(given):
        message = f"“{given}” cannot be a step's id."
        raise _error(path, line, message, "An id has lower-case letters, digits and single hyphens.")
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower().replace("'", "").replace("’", "")).strip("-")
    if not (given or slug):
        raise _error(path, line, "this heading has no words to make an id of.", "Write `## Title {#id}`.")
    return given or slug, title


def _check_fence(token: Token, lines: list[str], path: Path) -> bool:
    """Whether it is a console block; ConfigError where it is not closed, or where nobody would run it."""
    assert token.map
    begin, end = token.map
    last = lines[end - 1].strip(" >")
    if end - 1 == begin or len(last) < len(token.markup) or last.strip(token.markup[0]):
        raise _error(path, begin + 1, "the block that begins here is not closed.", f"Close it with {token.markup}.")
    is_console = token.info.split()[:1] == ["console"]
    if is_console and token.level:
        raise _error(path, begin + 1, "a console block stands in a list or in a quotation.", "Put it below.")
    return is_console


def _answer(text: str, path: Path, end: int) -> list[Part]:
    """From ``<details>`` on: the answer, and what stands behind it before the next empty line."""
    found = _ANSWER.fullmatch(text)
    if not found:
        raise _error(path, end, "a <details> above this line has no <summary>.", _DETAILS)
    answer = Prose(found["text"].strip(), found["summary"].strip())
    return [answer, Prose(found["after"].strip("\n"))] if found["after"].strip() else [answer]


# ---- console blocks


def _console(token: Token, path: Path) -> Iterator[Command]:
    """The commands of a block."""
    assert token.map
    start = token.map[0] + 1
    exit_status, timeout = _settings(token.info.split()[1:], path, start)
    text: list[str] = []
    expected: list[str] = []
    at = start

    def command() -> Command:
        return Command("\n".join(text), "\n".join(expected).rstrip(), at, exit_status, timeout)

    for number, line in enumerate(token.content.splitlines(), start + 1):
        if line.startswith("$ "):
            if text:
                yield command()
            text, expected, at = [line[2:]], [], number
        elif not text:
            if line.strip():
                raise _error(
                    path,
                    number,
                    "output stands before the first command of its block.",
                    "A command begins with `$ `; a block that is not run is fenced with ```text.",
                )
        elif not expected and (line.startswith("> ") or line.rstrip() == ">"):
            text.append(line[2:])
        else:
            expected.append(line)
    if not text:
        raise _error(path, start, "the console block has no command.", "A command begins with `$ `.")
    yield command()


def _settings(words: list[str], path: Path, line: int) -> tuple[int, float]:
    """``exit=N`` and ``timeout=SECONDS`` of a block's info string."""
    settings = {"exit": 0, "timeout": 30}
    for word in words:
        key, _, value = word.partition("=")
        # isdecimal alone would let other scripts' digits through.
        if key not in settings or not (value.isascii() and value.isdecimal() and len(value) < 5):
            message = f"a console block knows exit=NUMBER and timeout=SECONDS, and not “{word}”."
            raise _error(path, line, message, "Write, for example, ```console exit=1 timeout=60.")
        settings[key] = int(value)
    if settings["exit"] > 255 or settings["timeout"] == 0:
        raise _error(path, line, "an exit status is at most 255, a timeout at least 1 second.")
    return settings["exit"], float(settings["timeout"])
