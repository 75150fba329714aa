from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from labkit.host.lab.matrixsection import ExpectedLack
from labkit.host.matrix.verdict import Result, Verdict, exit_status, infrastructure, judge, worst

EXPECTED = {"aufs": ExpectedLack(("aufs",), "never merged", place="/somewhere/lab.yaml:47")}


def report(*cases: str) -> bytes:
    return f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>".encode()


def case(name: str = "step", *, inside: str = "", **properties: str) -> str:
    written = "".join(f'<property name="{kind}" value="{value}"/>' for kind, value in properties.items())
    return f'<testcase name="{name}"><properties>{written}</properties>{inside}</testcase>'


LACKING = '<skipped type="lacking" message="lacking: no module"/>'
PASSED = case(has="overlay", claim="B1")
LACKS_AUFS = case("check", inside=LACKING, lacks="aufs: no module (modprobe: not found)")
LACKS_MEMORY = case("check", inside=LACKING, lacks="memory: no memory controller")
FAILED = case("start", inside='<failure message="AssertionError: it\nis not so">a traceback</failure>')
NOT_RUN = case("next", inside='<skipped type="not run" message="not run: the step failed"/>')
LOST = case("next", inside='<error message="failed on setup with: The connection was lost.">more</error>')


def test_all_that_was_checked_held() -> None:
    assert judge("overlay", 0, report(PASSED, PASSED), EXPECTED, 2.5) == Result("overlay", "passed", (), 2.5, passed=2)


def test_a_check_that_is_lacking_as_expected_leaves_the_lesson_passed() -> None:
    result = judge("overlay", 0, report(PASSED, LACKS_AUFS), EXPECTED)
    assert (result.verdict, result.passed, result.lacking) == ("passed", 1, 1)
    assert result.lacks == {"aufs": "no module (modprobe: not found)"}


def test_a_lesson_that_lacks_what_it_needs_as_expected_is_lacking() -> None:
    result = judge("aufs", 0, report(LACKS_AUFS, LACKS_AUFS), EXPECTED)
    assert (result.verdict, result.passed, result.lacking, result.why) == ("lacking", 0, 2, ())


def test_an_unexpected_lack_is_a_failure_and_the_need_and_the_reason_are_named() -> None:
    result = judge("cgroup-cpu", 0, report(PASSED, LACKS_MEMORY, LACKS_AUFS), EXPECTED)
    assert result.verdict == "failed"
    assert result.why == ("memory is lacking, which lab.yaml does not expect here: no memory controller.",)


def test_an_expected_lack_that_is_not_there_is_a_failure() -> None:
    result = judge("aufs", 0, report(PASSED, case(has="aufs")), EXPECTED)
    assert result.verdict == "failed"
    assert result.why == ("aufs is there, and lab.yaml:47 expects it to be lacking here: never merged.",)


def test_a_failure_is_named_and_what_was_not_run_after_it_is_not_counted() -> None:
    result = judge("overlay", 1, report(PASSED, FAILED, NOT_RUN), EXPECTED)
    assert (result.verdict, result.passed, result.failed, result.lacking) == ("failed", 1, 1, 0)
    assert result.why == ("start: AssertionError: it is not so",)


def test_a_check_whose_tear_down_failed_too_has_failed_once() -> None:
    twice = case("start", inside='<failure message="a"/><error message="b"/>')
    assert judge("overlay", 1, report(twice), {}).failed == 1


def test_a_lost_machine_is_neither_pass_nor_failure() -> None:
    result = judge("overlay", 7, report(PASSED, LOST), EXPECTED, 3.0)
    assert (result.verdict, result.seconds) == ("infrastructure", 3.0)
    assert result.why == ("next: failed on setup with: The connection was lost.",)
    assert judge("overlay", 7, b"", EXPECTED).why == ("The machine was lost.",)


@pytest.mark.parametrize("junit", [b"", b"<testsuites><testcase", report()])
def test_a_run_that_reported_nothing_has_failed(junit: bytes) -> None:
    result = judge("overlay", 0, junit, EXPECTED)
    assert (result.verdict, result.why) == ("failed", ("Nothing was checked.",))


def test_a_run_that_was_killed_has_failed_though_its_report_is_good() -> None:
    result = judge("overlay", -9, report(PASSED), EXPECTED)
    assert (result.verdict, result.why) == ("failed", ("pytest ended with status -9.",))


def test_a_long_reason_is_cut() -> None:
    long = case("start", inside=f'<failure message="{"x" * 5000}"/>')
    (why,) = judge("overlay", 1, report(long), {}).why
    assert len(why) < 350
    assert why.endswith("…")


@pytest.mark.parametrize(
    ("verdicts", "whole", "status"),
    [
        (["passed", "lacking"], "passed", 0),
        (["lacking"], "lacking", 0),
        (["passed", "infrastructure"], "infrastructure", 7),
        (["passed", "infrastructure", "failed"], "failed", 1),
    ],
)
def test_the_worst_verdict_is_that_of_the_cell_and_of_the_run(
    verdicts: list[Verdict], whole: Verdict, status: int
) -> None:
    assert worst(verdicts) == whole
    assert exit_status(verdicts) == status


def test_a_result_survives_json() -> None:
    result = judge("overlay", 1, report(PASSED, FAILED, LACKS_AUFS), EXPECTED, 1.5)
    assert Result.from_dict(json.loads(json.dumps(asdict(result)))) == result
    lost = infrastructure("overlay", ["It does not boot."])
    assert Result.from_dict(json.loads(json.dumps(asdict(lost)))) == lost
