"""Whole lessons, played on this computer through a real sshd: what passes, fails, is lacking, is not run, is lost."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import ConfigError, InfrastructureError, UsageError
from labkit.host.lab.paths import checkout
from labkit.host.machines import Machine
from labkit.host.scenario import needs, player, report_file, run
from labkit.host.scenario.plugin import Stage

FRONT = """---
title: A small lesson
minutes: 1
claims: [A1]
{more}
---
"""

README = """
Here is what we shall see.

## Count

Look:

```console
$ n=1; echo "n is $n"
n is 1
$ cat beside.txt
what lies
...
```

<details><summary>And what is n?</summary>

One, *of course*.

</details>

## Count on

```console
$ echo $((n + 1)) > "$LABKIT_TEST_FILE"; cat "$LABKIT_TEST_FILE"
{expected}
```

## Put it back

```console
$ rm "$LABKIT_TEST_FILE"
```
"""

CHECKS = '''
import pytest
from labkit.host.scenario import after

@after("put-it-back", by_hand=False)
def test_gone(host):
    assert not host.file("{file}").exists

@after("count-on")
@pytest.mark.claim("A1")
def test_two(host):
    """The file holds a two."""
    assert host.run("cat %s", "{file}").stdout == "2\\n", "there is no two in the file"

@after("count")
def test_lesson(lesson):
    """The lesson tells what it printed."""
    assert lesson.output("count").startswith("n is 1")
    assert lesson.variable("n") == "1"
'''


class Place:
    """A directory of lessons for the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "number"
        self.junit = directory / "results.xml"

    def write(self, *, expected: str = "2", more: str = "", checks: str = CHECKS, name: str = "small") -> None:
        # Python would give a second run the checks of the first: they have the same module's name.
        for module in [module for module in sys.modules if module.endswith(".test_small")]:
            del sys.modules[module]
        lesson = self.directory / name
        lesson.mkdir(exist_ok=True)
        readme = README.replace('"$LABKIT_TEST_FILE"', f'"{self.file}"').replace("{expected}", expected)
        (lesson / "README.md").write_text(FRONT.format(more=more) + readme)
        (lesson / "beside.txt").write_bytes(b"what lies\r\nbeside\r\n")
        (lesson / "test_small.py").write_text(checks.replace("{file}", str(self.file)))

    def properties(self, case: str) -> list[tuple[str, str]]:
        """Names and values of a test case's properties."""
        (found,) = [each for each in ElementTree.parse(self.junit).iter("testcase") if each.get("name") == case]
        return [(each.get("name", ""), each.get("value", "")) for each in found.iter("property")]

    def cases(self) -> dict[str, tuple[str, str]]:
        """Test case -> (verdict, words), from the junit file, in its order."""
        found = {}
        for case in ElementTree.parse(self.junit).iter("testcase"):
            problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
            if problem is None:
                found[case.get("name", "")] = ("passed", "")
            else:
                kind = problem.get("type", "") if problem.tag == "skipped" else problem.tag
                found[case.get("name", "")] = (kind, problem.get("message", ""))
        return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(player, "DIRECTORY", str(tmp_path / "machine"))
    return Place(tmp_path)


def play(place: Place, machine: Machine, **options: bool) -> int:
    return run("small", machine, junit=place.junit, place=place.directory, **options)


def test_a_lesson_passes_in_its_own_order(place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    place.write()
    assert play(place, machine) == 0
    assert list(place.cases().items()) == [
        (name, ("passed", "")) for name in ("count", "test_lesson", "count-on", "test_two", "put-it-back", "test_gone")
    ]
    assert machine.resets == 1
    shown = capfd.readouterr().out
    for words in (
        "A small lesson",
        "Here is what we shall see.",
        "1/3 Count",
        '# n=1; echo "n is $n"\n  n is 1\n',
        "One, of course.",
        "✓ A1  The file holds a two.",
        "small done: 3 steps, 3 checks passed in",
        "pytest: 6 passed (3 steps and 3 checks: each is a test to pytest)",
        "  invoke scenario small --step  go through it again, at your own pace\n",
        "  invoke ssh                    look around",
        "this was the last one of the list",
    ):
        assert words in shown
    assert "It proves A1 of the article; docs/claims.md lists them." in " ".join(shown.split())
    assert "\x1b" not in shown


def test_the_lesson_that_follows_is_named(place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    place.write()
    place.write(name="smaller")
    place.write(name="big")
    assert play(place, machine) == 0
    assert "  invoke scenario smaller       the lesson that follows: A small lesson\n" in capfd.readouterr().out


def test_output_that_does_not_match_fails_and_ends_the_lesson(
    place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    place.write(expected="three")
    assert play(place, machine) == 1
    cases = place.cases()
    assert cases["count"][0] == "passed"
    assert cases["count-on"][0] == "failure"
    for name in ("test_two", "put-it-back", "test_gone"):
        assert cases[name] == ("not run", "not run: the step “Count on” failed")
    shown = capfd.readouterr().out
    assert ">>> here they part\n    - three\n    + 2\n" in shown
    assert "pytest: 2 passed, 1 failed, 3 not run (3 steps and 3 checks: each is a test to pytest)" in shown
    assert "Next:" not in shown


def test_a_check_that_fails_says_why_and_the_lesson_goes_on(
    place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    place.write(checks=CHECKS.replace('"2\\n"', '"5\\n"'))
    assert play(place, machine) == 1
    cases = place.cases()
    assert [verdict for verdict, _ in cases.values()] == ["passed", "passed", "passed", "failure", "passed", "passed"]
    assert "✗ A1  The file holds a two." in (shown := capfd.readouterr().out)
    assert "      there is no two in the file\n\n" in shown


def test_what_the_kernel_lacks_is_lacking_with_the_reason(
    place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    if machine.connection().run("modprobe -q aufs", hide=True, warn=True, in_stream=False).ok:
        pytest.skip("this computer's kernel has aufs")
    place.write(checks=CHECKS.replace('@after("count-on")', '@after("count-on")\n@pytest.mark.needs("aufs")'))
    assert play(place, machine) == 0
    verdict, words = place.cases()["test_two"]
    assert verdict == "lacking"
    assert words.startswith("lacking: the kernel has no aufs, which never entered the mainline (")
    assert "pytest: 5 passed, 1 lacking" in capfd.readouterr().out
    place.write(more="needs: [aufs]")
    assert play(place, machine) == 0
    assert {verdict for verdict, _ in place.cases().values()} == {"lacking"}


def test_what_was_probed_is_in_the_report(place: Place, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, probe in (("overlay", "true"), ("aufs", "echo no module; false"), ("cgroup-v1", "false")):
        monkeypatch.setitem(needs.NEEDS, name, needs.Need(probe, f"there is no {name}"))
    checks = CHECKS.replace('@after("count-on")', '@after("count-on")\n@pytest.mark.needs("aufs", "cgroup-v1")')
    place.write(more="needs: [overlay]", checks=checks)
    assert play(place, machine) == 0
    assert place.properties("count") == [("has", "overlay")]
    assert place.properties("test_two") == [
        ("claim", "A1"),
        ("has", "overlay"),
        ("lacks", "aufs: there is no aufs (no module)"),
        ("lacks", "cgroup-v1: there is no cgroup-v1"),
    ]
    assert place.cases()["test_two"] == (
        "lacking",
        "lacking: there is no aufs (no module); there is no cgroup-v1",
    )


def test_a_machine_that_is_lost_is_neither_pass_nor_failure(place: Place, machine: Machine) -> None:
    place.write()
    readme = place.directory / "small" / "README.md"
    readme.write_text(readme.read_text().replace("$ cat beside.txt", "$ kill -9 $PPID; sleep 5\n$ cat beside.txt"))
    with pytest.raises(InfrastructureError, match="The connection to the machine was lost") as lost:
        play(place, machine)
    assert lost.value.exit_status == 7
    cases = place.cases()
    assert list(cases) == ["count"]
    assert cases["count"][0] == "error"


def test_a_machine_that_is_lost_in_a_check(place: Place, machine: Machine) -> None:
    place.write(checks=CHECKS.replace('host.run("cat %s", "{file}")', 'host.run("kill -9 $PPID; sleep 5")'))
    with pytest.raises(InfrastructureError):
        play(place, machine)
    assert list(place.cases().items())[-1][1][0] == "error"


def test_checks_alone_look_at_what_is_there(place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    place.write()
    place.file.write_text("2\n")
    assert play(place, machine, checks_only=True) == 0
    assert {name: verdict for name, (verdict, _) in place.cases().items()} == {
        "test_lesson": "pytest.skip",
        "test_two": "passed",
        "test_gone": "not run",
    }
    assert machine.resets == 0
    assert place.file.exists()
    beside = place.directory / "machine" / "small" / "beside.txt"
    assert beside.read_text() == "what lies\nbeside\n", "the lesson's files are there to work with"
    assert f"In the machine, work in {beside.parent} (`invoke ssh`)" in capfd.readouterr().out
    beside.write_text("changed by hand")
    place.file.write_text("3\n")
    assert play(place, machine, checks_only=True) == 1
    assert "there is no two in the file" in capfd.readouterr().out
    assert beside.read_text() == "changed by hand"


def test_a_reader_that_is_gone_ends_the_lesson(place: Place, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(BrokenPipeError):
            play(place, machine)
        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    assert list(place.cases()) in ([], [""])


def test_ctrl_c_ends_the_lesson(
    place: Place, machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place.write()

    class Impatient:
        def isatty(self) -> bool:
            return False

        def readline(self) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Impatient())
    with pytest.raises(KeyboardInterrupt):
        play(place, machine, step=True)
    assert place.junit.is_file()
    shown = capfd.readouterr().out
    assert shown.endswith("`invoke ssh` takes you there, `invoke reset` gives you a fresh one.\n")


@pytest.mark.parametrize(("typed", "played"), [("\n" * 9, 3), ("\n\n\nq\n", 1), ("", 0)])
def test_step_by_step(place: Place, machine: Machine, monkeypatch: pytest.MonkeyPatch, typed: str, played: int) -> None:
    place.write()
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert play(place, machine, step=True) == 0
    cases = place.cases()
    assert len([name for name, (verdict, _) in cases.items() if verdict == "passed" and "test" not in name]) == played
    if played < 3:
        assert list(cases.values())[-1] == ("not run", "not run: the reader left the lesson")


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        (CHECKS.replace('"count-on"', '"count-onn"'), "Did you mean count-on"),
        (CHECKS.replace('@after("count")', '@pytest.mark.needs("overly")'), "Did you mean overlay"),
    ],
)
def test_checks_that_do_not_fit(
    place: Place, machine: Machine, capfd: pytest.CaptureFixture[str], checks: str, words: str
) -> None:
    place.write(checks=checks)
    with pytest.raises(ConfigError):
        play(place, machine)
    assert words in capfd.readouterr().err
    assert machine.resets == 0


def test_checks_that_do_not_load_are_shown(place: Place, machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    place.write(checks="import nothing_of_that_name\n")
    assert play(place, machine) == 1
    assert "No module named 'nothing_of_that_name'" in capfd.readouterr().out


def test_a_report_that_cannot_be_written_is_refused_first(place: Place) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        report_file(str(place.directory))
    with pytest.raises(UsageError, match="There is no directory"):
        report_file(str(place.directory / "none" / "report.xml"))


@pytest.fixture
def plain_pytest(place: Place, machine: Machine) -> Callable[..., int]:
    """pytest as somebody would start it, its own report included."""

    def start(*arguments: str) -> int:
        ini = checkout() / "scenarios" / "pytest.ini"
        words = [f"--config-file={ini}", f"--rootdir={place.directory}", f"--junitxml={place.junit}", *arguments]
        return int(pytest.main(words, plugins=[Stage(machine)]))

    return start


def test_one_check_alone_brings_the_lesson_to_its_step(place: Place, plain_pytest: Callable[..., int]) -> None:
    place.write()
    assert plain_pytest(str(place.directory / "small"), "-k", "test_two") == 0
    assert place.cases() == {"test_two": ("passed", "")}
    assert place.file.read_text() == "2\n"
    assert plain_pytest(str(place.directory / "small" / "test_small.py") + "::test_gone") == 0
    assert not place.file.exists()


def test_two_lessons_in_one_run(place: Place, plain_pytest: Callable[..., int], machine: Machine) -> None:
    place.write()
    place.write(name="other")
    assert plain_pytest(str(place.directory)) == 0
    assert machine.resets == 2


def test_a_machine_that_was_just_booted_is_not_reset_for_the_first_lesson(place: Place, machine: Machine) -> None:
    place.write()
    place.write(name="other")
    ini = checkout() / "scenarios" / "pytest.ini"
    words = [f"--config-file={ini}", f"--rootdir={place.directory}", str(place.directory)]
    assert pytest.main(words, plugins=[Stage(machine, is_fresh=True)]) == 0
    assert machine.resets == 1


def test_plain_pytest_shows_what_was_expected(
    place: Place, plain_pytest: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    place.write(expected="three")
    assert plain_pytest(str(place.directory / "small")) == 1
    shown = capfd.readouterr().out
    assert "README.md:31: The output is not what the lesson says." in shown
    assert "1 failed, 2 passed" in shown
    assert "3 not run" in shown


def test_a_lesson_that_does_not_parse_is_an_error_of_collecting(
    place: Place, plain_pytest: Callable[..., int], machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    place.write(more="minuets: 5")
    with pytest.raises(ConfigError, match=r"README.md:5: README.md has no key “minuets”"):
        play(place, machine)
    assert plain_pytest(str(place.directory / "small")) != 0
    assert "Did you mean minutes?" in capfd.readouterr().err
    assert machine.resets == 0
