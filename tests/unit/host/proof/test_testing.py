from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from labkit.errors import ConflictError, InfrastructureError, MissingToolError, UsageError
from labkit.host.lab import config, paths
from labkit.host.matrix.verdict import Junit, Result, infrastructure, read_junit
from labkit.host.proof import testhost, testing, testreport, teststages
from labkit.host.proof.testreport import Outcome
from labkit.host.proof.teststages import Options, Stage

REPORT = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="3" tests="6">
<testcase name="good"/>
<testcase name="bad"><failure message="no">trace</failure><error message="tear-down">trace</error></testcase>
<testcase name="lost"><error message="fixture">trace</error></testcase>
<testcase name="s1"><skipped type="pytest.skip" message="no aufs">where</skipped></testcase>
<testcase name="s2"><skipped type="pytest.skip" message="no aufs">where</skipped></testcase>
<testcase name="s3"><skipped type="pytest.skip">where</skipped></testcase>
</testsuite></testsuites>"""


def test_a_report_is_counted_by_test_case_and_skips_by_reason() -> None:
    found = read_junit(REPORT)
    assert (found.passed, found.failed, found.skipped) == (1, 2, {"no aufs": 2, "without a reason": 1})


@pytest.mark.parametrize("torn", [b"", b"<testsuites><testsuite>", REPORT[:-20]])
def test_a_report_that_is_not_whole_counts_nothing(torn: bytes) -> None:
    assert read_junit(torn) == Junit()


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Outcome("a", "passed", passed=1)], 0),
        ([Outcome("a", "passed", passed=1), Outcome("b", "not run", why="not root")], 0),
        ([Outcome("a", "passed", passed=1), Outcome("b", "failed", failed=1)], 1),
        ([Outcome("a", "passed", passed=1), Outcome("b", "unreachable")], 7),
        ([Outcome("a", "failed", passed=5), Outcome("b", "unreachable")], 1),
        ([Outcome("a", "not run")], 1),
        ([], 1),
    ],
)
def test_the_exit_status_of_a_run(outcomes: list[Outcome], status: int) -> None:
    assert testreport.exit_status(outcomes) == status


def test_a_stage_whose_tests_were_all_skipped_has_not_passed() -> None:
    skipped = b'<testsuite><testcase name="a"><skipped message="no root"/></testcase></testsuite>'
    outcome = testreport.of_pytest("guest", 0, skipped)
    assert (outcome.verdict, outcome.why, outcome.skipped) == ("not run", "every test was skipped", {"no root": 1})


@pytest.mark.parametrize(
    ("status", "report", "verdict", "why"),
    [
        (0, b'<testsuite><testcase name="good"/></testsuite>', "passed", ""),
        (1, REPORT, "failed", ""),
        (3, b"", "failed", "pytest ended with status 3"),
        (7, REPORT, "unreachable", "the machine was lost"),
        (0, b"", "failed", "pytest was content, and its report holds no test"),
    ],
)
def test_pytests_status_and_its_report_count_together(status: int, report: bytes, verdict: str, why: str) -> None:
    outcome = testreport.of_pytest("guest", status, report)
    assert (outcome.verdict, outcome.why) == (verdict, why)
    assert outcome.failed == report.count(b'name="bad"') + report.count(b'name="lost"')


def test_the_table_names_what_could_not_run_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    testreport.show(
        [
            Outcome("unit tests", "passed", passed=7, skipped={"no\naufs [here]": 2}, seconds=1.23),
            Outcome("guest tests, test host", "not run", why="only root can " + "x" * 300),
        ]
    )
    shown = capsys.readouterr().out
    assert "unit tests, 2 skipped: no aufs [here]\n" in shown
    assert "guest tests, test host, not run: only root can xxx" in shown
    assert shown.rstrip().endswith("…")


def test_the_matrix_is_a_row_in_which_a_lesson_in_a_cell_is_a_test() -> None:
    passed = Result("nat", "passed", (), 1.0, 20, lacking=1, lacks={"aufs": "no"})
    lacking = Result("aufs", "lacking", (), 1.0, lacking=4, lacks={"aufs": "no"})
    failed = Result("cpu", "failed", ("G1: 70 % were used.",), 1.0, 3, 1)
    lost = infrastructure("nat", ["It was lost."])
    outcome = testreport.of_matrix("matrix", [passed, lacking, passed])
    assert (outcome.verdict, outcome.passed, outcome.skipped, outcome.why) == ("passed", 2, {"aufs: no": 1}, "")
    outcome = testreport.of_matrix("matrix", [passed, failed, lost])
    assert (outcome.verdict, outcome.passed, outcome.failed) == ("failed", 1, 1)
    assert outcome.why == "cpu: G1: 70 % were used.; nat: It was lost."
    assert testreport.of_matrix("matrix", [passed, lost]).verdict == "unreachable"


def test_the_cell_of_the_end_to_end_tests_is_played_once() -> None:
    with contextlib.ExitStack() as stack:
        all_of_ci = set(config.load().matrix.ci)
        alone = teststages._cells_for_ci(Options(stack, only="matrix"))
        after_the_others = teststages._cells_for_ci(Options(stack))
    assert set(alone) == all_of_ci
    assert all_of_ci - set(after_the_others) == {config.load().matrix.cell("6.1,v2,nft")}


def test_a_stage_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'units'") as caught:
        testing.run_tests(only="units")
    assert "lint, unit, guest, machine, e2e, matrix" in caught.value.hint


def stages(monkeypatch: pytest.MonkeyPatch, **functions: object) -> list[str]:
    """Put stages in place of the real ones; the list that is returned fills with the names of those that ran."""
    ran: list[str] = []

    def make(name: str, result: object) -> Stage:
        def run(stage: Stage, _options: Options) -> Outcome:
            ran.append(name)
            if isinstance(result, Exception):
                raise result
            assert isinstance(result, Outcome)
            return result

        return Stage(name, name, run)

    monkeypatch.setattr(teststages, "STAGES", tuple(make(name, result) for name, result in functions.items()))
    return ran


def test_every_stage_runs_though_one_before_it_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = stages(
        monkeypatch,
        lint=Outcome("lint", "failed", failed=1),
        unit=Outcome("unit", "passed", passed=3),
        guest=InfrastructureError("The machine is gone.", "Look at its log."),
        bug=ZeroDivisionError("ours"),
        e2e=MissingToolError("There is no QEMU."),
    )
    assert testing.run_tests() == 1
    assert ran == ["lint", "unit", "guest", "bug", "e2e"]
    assert "bug, failed: a bug of labkit's own: ZeroDivisionError: ours" in capsys.readouterr().out


def test_a_machine_that_cannot_be_had_is_neither_pass_nor_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages(monkeypatch, unit=Outcome("unit", "passed", passed=3), guest=InfrastructureError("It is gone.", "Look."))
    assert testing.run_tests() == 7
    assert "guest, unreachable: It is gone. Look." in capsys.readouterr().out


def test_only_and_keyword_choose_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = Outcome("x", "passed", passed=1)
    ran = stages(monkeypatch, lint=passed, unit=passed, guest=passed)
    testing.run_tests(only="unit")
    testing.run_tests(keyword="ipam")
    assert ran == ["unit", "unit", "guest"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one directory of tests, ``tests/unit``."""
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    monkeypatch.setattr(teststages, "spread", list)  # one test needs one process
    return tmp_path


def run_real_pytest(checkout: Path, content: str, keyword: str | None = None) -> Outcome:
    (checkout / "tests/unit/test_it.py").write_text(content, encoding="utf-8")
    with contextlib.ExitStack() as stack:
        return teststages._unit(Stage("unit", "unit tests", teststages._unit, 60.0), Options(stack, keyword))


def test_a_real_pytest_run_is_counted(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run_real_pytest(
        checkout,
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip('why not')\ndef test_c(): pass\n",
    )
    assert (outcome.verdict, outcome.passed, outcome.failed, outcome.skipped) == ("failed", 1, 1, {"why not": 1})
    assert "1 failed, 1 passed, 1 skipped" in capfd.readouterr().out  # pytest's own closing line is seen


def test_a_run_that_breaks_before_its_first_test_has_failed(checkout: Path) -> None:
    outcome = run_real_pytest(checkout, "import nothing_of_this_name\n")
    assert (outcome.verdict, outcome.failed) == ("failed", 1)


def test_no_test_at_all_is_a_failure_but_not_with_a_keyword(checkout: Path) -> None:
    assert run_real_pytest(checkout, "").verdict == "failed"
    assert run_real_pytest(checkout, "def test_a(): pass\n", keyword="zebra").verdict == "not run"


def test_a_run_that_does_not_end_is_ended(checkout: Path) -> None:
    assert teststages.run_to_its_end([sys.executable, "-c", "import time; time.sleep(60)"], 0.3) == -1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
def test_a_run_that_is_told_to_end_lets_pytest_put_its_things_away(checkout: Path) -> None:
    (checkout / "tests/unit/test_it.py").write_text(
        "import os, pathlib, pytest, signal, time\n"
        "@pytest.fixture\n"
        "def machine():\n"
        "    yield\n"
        "    pathlib.Path('put-away').touch()\n"
        "def test_a(machine):\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n",
        encoding="utf-8",
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        testing.run_tests(only="unit")
    assert ended.value.code == 143
    assert (checkout / "put-away").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_tests_have_a_machine_of_their_own_and_one_run_at_a_time(own_state: Path) -> None:
    before = os.environ["LABKIT_STATE"]
    with teststages.machine_of_the_tests():
        assert Path(os.environ["LABKIT_STATE"]) == Path(before) / "tests"
        os.environ["LABKIT_STATE"] = before  # as a second process sees it
        with pytest.raises(ConflictError), teststages.machine_of_the_tests():
            pass
    assert os.environ["LABKIT_STATE"] == before


@pytest.mark.parametrize(
    ("everything", "marks"),
    [(False, ["-m", "machine and not thorough"]), (True, [])],
)
def test_the_machine_runs_what_only_it_can_show_and_everything_with_all(everything: bool, marks: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        options = Options(stack, everything=everything)
        assert options.arguments(teststages.IN_MACHINE)[3:] == marks


def test_what_a_computer_without_test_host_cannot_show_there_the_machine_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[list[str]] = []

    def run(stage: Stage, options: Options, name: str | None, provider: str | None, words: list[str]) -> Outcome:
        chosen.append(words[-2:])
        return Outcome(stage.title, "passed", passed=1)

    monkeypatch.setattr(testhost, "why_not", lambda: "not root")
    monkeypatch.setattr(teststages, "_run_in_machine", run)
    with contextlib.ExitStack() as stack:
        options = Options(stack)
        for stage in (
            each for each in teststages.STAGES if each.title in ("guest tests, test host", "guest tests, machine")
        ):
            stage.run(stage, options)
    assert chosen == [["-m", "not thorough"]]


def test_each_test_belongs_to_one_place() -> None:
    """The daily expressions do not overlap, and together with what --all adds they are everything."""
    for marks in ({"machine"}, {"thorough"}, set(), {"machine", "thorough"}):
        words = {name: name in marks for name in ("machine", "thorough")}
        here, there = (eval(each, {}, words) for each in (teststages.IN_TEST_HOST, teststages.IN_MACHINE))
        assert [here, there].count(True) == (0 if "thorough" in marks else 1)


def test_what_all_adds_is_said_with_its_last_run(
    own_state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passed = Outcome("unit", "passed", passed=3)
    stages(monkeypatch, unit=passed)
    more = tuple(Stage(each.group, each.title, each.run, more="other kernels") for each in teststages.STAGES)
    monkeypatch.setattr(teststages, "STAGES", more)
    assert testing.run_tests() == 0
    assert "unit: other kernels (never)" in capsys.readouterr().out
    assert testreport.remembered() == {}, "the daily tier is not recorded"
    assert testing.run_tests(everything=True) == 0
    assert "other kernels" not in capsys.readouterr().out
    assert testreport.remembered()["unit"]["passed"] == 3
    testing.run_tests()
    assert "unit: other kernels (passed 20" in capsys.readouterr().out


def test_a_record_that_cannot_be_read_is_none(own_state: Path) -> None:
    own_state.mkdir(parents=True, exist_ok=True)
    (own_state / "tests.json").write_text("[1", encoding="utf-8")
    assert testreport.remembered() == {}


@pytest.mark.parametrize("everything", [True, False])
def test_a_stage_without_keywords_says_so(everything: bool) -> None:
    with pytest.raises(UsageError, match="The stage matrix has no tests that a keyword could choose"):
        testing.run_tests(only="matrix", keyword="nat", everything=everything)


def test_a_stage_of_the_other_tier_is_refused_with_the_command_that_runs_it() -> None:
    with pytest.raises(UsageError, match="belongs to `invoke test --all`"):
        testing.run_tests(only="matrix")


def test_end_to_end_tests_are_left_out_when_the_machine_cannot_come_up() -> None:
    with contextlib.ExitStack() as stack:
        options = Options(stack, machine_is_down="no QEMU")
        outcome = teststages._e2e(Stage("e2e", "end-to-end tests", teststages._e2e), options)
    assert (outcome.verdict, outcome.why) == ("not run", "the machine cannot be brought up: no QEMU")
