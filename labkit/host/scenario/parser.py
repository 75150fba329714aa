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

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from labkit.errors import ConfigError
from labkit.host.lab import yamlmarks
from labkit.host.lab.names import suggestion
from labkit.host.lab.yamlmarks import Value
from labkit.host.scenario.model import Answer, Command, Part, Prose, Scenario, Step

_KEYS = ("title", "minutes", "needs", "claims")
_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})\s*(?P<info>[^`]*)$")
_HEADING = re.compile(r"## +(?P<title>.*?)(?: +\{#(?P<id>[^}]*)\})?\s*#*$")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CLAIM = re.compile(r"[A-I][1-9][0-9]?")
_SUMMARY = re.compile(r"<summary>(?P<text>.*?)</summary>", re.DOTALL)


def parse(text: str, path: Path, known_needs: tuple[str, ...] | None = None) -> Scenario:
    """The lesson in ``text``. ``path`` names it (its directory's name is the lesson's) and is used in messages.

    ``known_needs``, where given, are the only needs that the front matter may name.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    end = _front_matter_end(lines, path)
    front = _front_matter(lines[1:end], path, known_needs)
    introduction, steps = _body(lines, end + 1, path)
    if not steps:
        raise ConfigError(
            f"{path}:{len(lines)}: the lesson has no step.",
            "A step is a `##` heading with a ```console block below it that has a line beginning with `$ `.",
        )
    return Scenario(
        name=path.parent.name,
        title=front.title,
        minutes=front.minutes,
        needs=front.needs,
        claims=front.claims,
        path=path,
        introduction=tuple(introduction),
        steps=tuple(steps),
    )


def read(path: Path, known_needs: tuple[str, ...] | None = None) -> Scenario:
    """The lesson in the file ``path``."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"The lesson {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: the text is not UTF-8.", "Save the file as UTF-8.") from None
    return parse(text, path, known_needs)


# ---- front matter


@dataclass(frozen=True)
class _FrontMatter:
    title: str
    minutes: int
    needs: tuple[str, ...]
    claims: tuple[str, ...]


def _front_matter_end(lines: list[str], path: Path) -> int:
    """The index of the ``---`` that ends the front matter."""
    if lines[0].rstrip() != "---":
        raise ConfigError(
            f"{path}:1: a lesson begins with front matter, and this line is not `---`.",
            f"Begin with `---`, lines for {', '.join(_KEYS)}, and `---`.",
        )
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return index
    raise ConfigError(f"{path}:1: the front matter that begins here does not end.", "End it with a line `---`.")


def _front_matter(lines: list[str], path: Path, known_needs: tuple[str, ...] | None) -> _FrontMatter:
    """The four keys. An empty line is put in front, so that the YAML reader's line numbers are the file's."""
    members = yamlmarks.parse("\n" + "\n".join(lines), path).mapping("a mapping of " + ", ".join(_KEYS), _KEYS)
    for required in ("title", "minutes"):
        if required not in members:
            raise ConfigError(f"{path}:1: the front matter needs the key {required}.", f"The keys: {', '.join(_KEYS)}.")
    needs, claims = _names(members.get("needs")), _names(members.get("claims"))
    for need in needs:
        if known_needs is not None and need.text() not in known_needs:
            raise need.error(f"there is no need called “{need.text()}”.", suggestion(need.text(), known_needs))
    for claim in claims:
        if not _CLAIM.fullmatch(claim.text()):
            raise claim.wrong("a claim's id such as E7")
    return _FrontMatter(
        title=members["title"].text(),
        minutes=members["minutes"].integer(1, 240),
        needs=tuple(need.text() for need in needs),
        claims=tuple(claim.text() for claim in claims),
    )


def _names(value: Value | None) -> list[Value]:
    """The members of a YAML list; none where the key is not there."""
    if value is None:
        return []
    if not isinstance(value.node, yaml.SequenceNode):
        raise value.wrong("a list such as [one, two]")
    return [Value(value.file, value.name, node) for node in value.node.value]


# ---- the body


@dataclass
class _Section:
    """A heading and what stands below it, while it is being read."""

    title: str
    id: str
    line: int
    heading: str
    parts: list[Part] = field(default_factory=list)


def _body(lines: list[str], start: int, path: Path) -> tuple[list[Part], list[Step]]:
    """Introduction and steps."""
    introduction: list[Part] = []
    steps: list[Step] = []
    for section in _sections(lines, start, path):
        if any(isinstance(part, Command) for part in section.parts):
            if not section.title:
                raise ConfigError(
                    f"{path}:{section.line}: commands stand before the first step.", "Put a `##` heading above them."
                )
            for other in steps:
                if other.id == section.id:
                    raise ConfigError(
                        f"{path}:{section.line}: two steps have the id {section.id}, the other on line {other.line}.",
                        "Give one of them an id of its own: `## Title {#id}`.",
                    )
            steps.append(Step(section.id, section.title, section.line, tuple(section.parts)))
            continue
        without_commands: list[Part] = [*([Prose(section.heading)] if section.heading else []), *section.parts]
        if steps:
            last = steps.pop()
            steps.append(Step(last.id, last.title, last.line, (*last.parts, *without_commands)))
        else:
            introduction += without_commands
    return introduction, steps


def _sections(lines: list[str], start: int, path: Path) -> Iterator[_Section]:
    """The text cut at its ``##`` headings. The first section has no heading."""
    section = _Section(title="", id="", line=start + 1, heading="")
    prose: list[str] = []
    index = start
    while index < len(lines):
        line = lines[index]
        fence = _FENCE.match(line)
        if fence:
            end = _fence_end(lines, index, fence["marks"], path)
            info = fence["info"].split()
            if info and info[0] == "console":
                section.parts += _prose(prose, path, index)
                prose = []
                section.parts += _console(lines, index, end, info[1:], path)
            else:
                prose += lines[index : end + 1]
            index = end + 1
            continue
        heading = _HEADING.match(line)
        if heading:
            section.parts += _prose(prose, path, index)
            prose = []
            yield section
            section = _Section(heading["title"], _step_id(heading, path, index), index + 1, f"## {heading['title']}")
        else:
            prose.append(line)
        index += 1
    section.parts += _prose(prose, path, index)
    yield section


def _fence_end(lines: list[str], start: int, marks: str, path: Path) -> int:
    """The index of the line that closes the fence opened at ``start``: as many marks, nothing else."""
    for index in range(start + 1, len(lines)):
        candidate = lines[index].strip()
        if len(candidate) >= len(marks) and not candidate.strip(marks[0]):
            return index
    raise ConfigError(f"{path}:{start + 1}: the block that begins here is not closed.", f"Close it with {marks}.")


def _step_id(heading: re.Match[str], path: Path, index: int) -> str:
    """The id that the heading gives, or else the slug of its words."""
    if heading["id"] is not None:
        if not _ID.fullmatch(heading["id"]):
            raise ConfigError(
                f"{path}:{index + 1}: “{heading['id']}” cannot be a step's id.",
                "An id has lower-case letters, digits and single hyphens.",
            )
        return heading["id"]
    slug = re.sub(r"[^a-z0-9]+", "-", heading["title"].lower().replace("'", "").replace("’", "")).strip("-")
    if not slug:
        raise ConfigError(f"{path}:{index + 1}: this heading has no words to make an id of.", "Write `## Title {#id}`.")
    return slug


def _prose(lines: list[str], path: Path, end: int) -> list[Part]:
    """Prose, cut at its ``<details>``. ``end`` is the index of the line after it, for messages."""
    parts: list[Part] = []
    text = "\n".join(lines)
    while "<details>" in text:
        before, _, rest = text.partition("<details>")
        inside, closed, text = rest.partition("</details>")
        summary = _SUMMARY.search(inside)
        if not closed or not summary:
            raise ConfigError(
                f"{path}:{end}: a <details> above this line has no {'<summary>' if closed else '</details>'}.",
                "Write <details><summary>Answer</summary>, an empty line, the answer, an empty line, </details>; "
                "a console block cannot stand inside.",
            )
        if before.strip():
            parts.append(Prose(before.strip("\n")))
        parts.append(Answer(summary["text"].strip(), inside[summary.end() :].strip()))
    if text.strip():
        parts.append(Prose(text.strip("\n")))
    return parts


# ---- console blocks


def _console(lines: list[str], start: int, end: int, words: list[str], path: Path) -> Iterator[Command]:
    """The commands of the block between the fences at ``start`` and ``end``."""
    exit_status, timeout = _settings(words, path, start)
    text: list[str] = []
    expected: list[str] = []
    at = start

    def command() -> Command:
        return Command("\n".join(text), "\n".join(expected).rstrip(), at + 1, exit_status, timeout)

    for index in range(start + 1, end):
        line = lines[index]
        if line.startswith("$ "):
            if text:
                yield command()
            text, expected, at = [line[2:]], [], index
        elif not text:
            if line.strip():
                raise ConfigError(
                    f"{path}:{index + 1}: output stands before the first command of its block.",
                    "A command begins with `$ `; a block that is not run is fenced with ```text.",
                )
        elif not expected and (line.startswith("> ") or line.rstrip() == ">"):
            text.append(line[2:])
        else:
            expected.append(line)
    if not text:
        raise ConfigError(f"{path}:{start + 1}: the console block has no command.", "A command begins with `$ `.")
    yield command()


def _settings(words: list[str], path: Path, start: int) -> tuple[int, float]:
    """``exit=N`` and ``timeout=SECONDS`` of a block's info string."""
    settings = {"exit": 0, "timeout": 30}
    for word in words:
        key, _, value = word.partition("=")
        # isdecimal alone would let other scripts' digits through.
        if key not in settings or not (value.isascii() and value.isdecimal() and len(value) < 5):
            raise ConfigError(
                f"{path}:{start + 1}: a console block knows exit=NUMBER and timeout=SECONDS, and not “{word}”.",
                "Write, for example, ```console exit=1 timeout=60.",
            )
        settings[key] = int(value)
    if settings["exit"] > 255 or settings["timeout"] == 0:
        raise ConfigError(f"{path}:{start + 1}: an exit status is at most 255, a timeout at least 1 second.")
    return settings["exit"], float(settings["timeout"])
