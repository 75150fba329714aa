"""Reading lessons: what is understood, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ConfigError, NotFoundError
from labkit.host.scenario import catalogue, find
from labkit.host.scenario.model import Command, Prose
from labkit.host.scenario.parser import parse, read

PATH = Path("scenarios/small/README.md")
FRONT = "---\ntitle: Small\nminutes: 5\n---\n"
LESSON = """---
title: A small lesson
minutes: 5
needs: [overlay]
claims: [B1, B2]
---
# A small lesson

What we shall see.

## Before we start

No command here.

## Look, and don't touch!

Now:

```console exit=1 timeout=60
$ one \\
> two
1

3
$ three
```

```sh
$ not run
## no heading
```

<details>
<summary>Why?</summary>

Because.

</details>

After.

## Given {#an-id}
````console
$ cat <<'END'
> ```
> END
```
````
## What you have seen

The end.
"""


def test_a_whole_lesson() -> None:
    lesson = parse(LESSON, PATH)
    assert (lesson.name, lesson.title, lesson.minutes) == ("small", "A small lesson", 5)
    assert (lesson.needs, lesson.claims) == (("overlay",), ("B1", "B2"))
    assert lesson.introduction == (
        Prose("# A small lesson\n\nWhat we shall see."),
        Prose("## Before we start"),
        Prose("No command here."),
    )
    assert [(step.id, step.title, step.line) for step in lesson.steps] == [
        ("look-and-dont-touch", "Look, and don't touch!", 15),
        ("an-id", "Given", 42),
    ]
    assert lesson.steps[0].parts == (
        Prose("Now:"),
        Command("one \\\ntwo", "1\n\n3", 20, exit_status=1, timeout=60.0),
        Command("three", "", 25, exit_status=1, timeout=60.0),
        Prose("```sh\n$ not run\n## no heading\n```"),
        Prose("Because.", "Why?"),
        Prose("After."),
    )
    assert lesson.steps[1].parts == (
        Command("cat <<'END'\n```\nEND", "```", 44),
        Prose("## What you have seen"),
        Prose("The end."),
    )
    assert lesson.position("an-id") == 1
    with pytest.raises(NotFoundError, match="no step of small called “an-idd”") as unknown:
        lesson.position("an-idd")
    assert "Did you mean an-id?" in unknown.value.hint


def test_windows_line_ends_make_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(b"\xef\xbb\xbf" + LESSON.replace("\n", "\r\n").encode())
    assert read(file).steps == parse(LESSON, file).steps


STEP = "## One\n```console\n$ true\n```\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "README.md:1: a lesson begins with front matter"),
        ("# Title\n", "README.md:1: a lesson begins with front matter"),
        ("---\ntitle: x\n", "README.md:1: the front matter that begins here does not end"),
        ("---\ntitle: x\n---\n" + STEP, "README.md:1: the front matter needs the key minutes"),
        ("---\nminutes: 1\n---\n" + STEP, "README.md:1: the front matter needs the key title"),
        ("---\ntitle: x\nminutes: soon\n---\n" + STEP, "README.md:3: README.md.*minutes|minutes should be a whole"),
        ("---\ntitle: x\nminutes: 1\nneed: [overlay]\n---\n" + STEP, "README.md:4: .*no key “need”"),
        ("---\ntitle: x\nminutes: 1\nneeds: [overly]\n---\n" + STEP, "README.md:4: there is no need called “overly”"),
        ("---\ntitle: x\nminutes: 1\nneeds: overlay\n---\n" + STEP, "README.md:4: .*should be a list"),
        ("---\ntitle: x\nminutes: 1\nclaims: [Z1]\n---\n" + STEP, "README.md:4: .*a claim's id"),
        ("---\ntitle: [\n---\n" + STEP, "README.md:.*not YAML"),
        (FRONT + "Prose only.\n", "README.md:6: the lesson has no step"),
        (FRONT + "```console\n$ true\n```\n", "README.md:5: commands stand before the first step"),
        (FRONT + STEP + STEP, "README.md:9: two steps have the id one, the other on line 5"),
        (FRONT + "## One\n```console\n$ true\n", "README.md:6: the block that begins here is not closed"),
        (FRONT + "## One\n```console\n```\n", "README.md:6: the console block has no command"),
        (FRONT + "## One\n```console\nhello\n$ true\n```\n", "README.md:7: output stands before the first command"),
        (FRONT + "## One\n```console exits=1\n$ true\n```\n", "README.md:6: .*not “exits=1”"),
        (FRONT + "## One\n```console exit=-1\n$ true\n```\n", "README.md:6: .*not “exit=-1”"),
        (FRONT + "## One\n```console exit=256\n$ true\n```\n", "README.md:6: an exit status is at most 255"),
        (FRONT + "## One\n```console timeout=0\n$ true\n```\n", "README.md:6: .*a timeout at least 1"),
        (FRONT + "## One {#Not An Id}\n```console\n$ true\n```\n", "README.md:5: “Not An Id” cannot be a step's id"),
        (FRONT + "## …\n```console\n$ true\n```\n", "README.md:5: this heading has no words"),
        (FRONT + "## One\n<details>\nx\n\n```console\n$ true\n```\n</details>\n", "README.md:8: a <details> above"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        parse(text, PATH)
    assert refused.value.exit_status == 3


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(b"---\ntitle: \xff\n")
    with pytest.raises(ConfigError, match=r"README.md:2: the text is not UTF-8"):
        read(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.md")


def test_every_lesson_of_the_checkout_parses_and_names_its_claims() -> None:
    lessons = {lesson.name: lesson for lesson in catalogue()}
    assert {"overlay", "pid-1", "redis-nat"} <= set(lessons)
    for lesson in lessons.values():
        assert lesson.claims, lesson.name
        assert list(lesson.path.parent.glob("test_*.py")), lesson.name


def test_an_unknown_lesson_gets_the_nearest_names() -> None:
    with pytest.raises(NotFoundError, match="no scenario called “redis-net”") as unknown:
        find("redis-net")
    assert "Did you mean redis-nat?" in unknown.value.hint
