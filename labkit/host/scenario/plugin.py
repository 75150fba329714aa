"""The pytest plugin: a lesson's steps and its checks as pytest items, in the lesson's order.

``pytest scenarios/redis-nat --machine default`` loads it by ``scenarios/pytest.ini``; ``invoke scenario`` is the same
run with a narrator. A check brings the lesson to the step that it follows, so ``-k``, ``--lf`` and a single node id
work too.

Besides passed and failed there are three verdicts:

=================  ==============================================================================================
lacking            the machine's kernel has not what is needed; skipped, with what the probe said
not run            a step of the lesson failed before; skipped, and the run has failed through that step
infrastructure     the machine was lost: an error, which ends the run with status 7
=================  ==============================================================================================

A test case of the junit file has these properties: ``claim`` (an id of docs/claims.md), and what was probed for it,
``has`` (a need's name) and ``lacks`` (``NAME: REASON``).
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
from testinfra.host import Host

from labkit.errors import InfrastructureError, LabkitError
from labkit.host import machines
from labkit.host.lab import config as lab
from labkit.host.lab.names import suggestion
from labkit.host.machines import Machine
from labkit.host.scenario import parser
from labkit.host.scenario.model import Lesson, Step
from labkit.host.scenario.needs import NEEDS
from labkit.host.scenario.player import Audience, LessonLeftError, PlayedLesson, StepFailedError, explain

LACKING = "lacking"
NOT_RUN = "not run"
INFRASTRUCTURE = "infrastructure"

_VERDICT: pytest.StashKey[str] = pytest.StashKey()
"""Where an item keeps that it is lacking or not run."""


def _skip(item: pytest.Item, verdict: str, reason: str) -> NoReturn:
    """Skip the item, for pytest; the verdict is ours."""
    item.stash[_VERDICT] = verdict
    pytest.skip(f"{verdict}: {reason}")


def after(step_id: str, *, by_hand: bool = True) -> pytest.MarkDecorator:
    """Mark a check that follows the step ``step_id``.

    ``by_hand=False``: it makes sense directly after that step only, and not for ``invoke check``, which looks at what
    somebody did by hand.
    """
    return pytest.mark.after(step_id, by_hand=by_hand)


class Stage:
    """Where lessons are played in this run of pytest, before whom, and what came of it. One after the other.

    ``run`` gives one to pytest, as a plugin; else it is made of pytest's options.
    """

    KEY: ClassVar[pytest.StashKey[Stage]] = pytest.StashKey()
    """Where pytest's config keeps it."""

    def __init__(
        self,
        machine: Machine | str | None = None,
        audience: Audience | None = None,
        *,
        checks_only: bool = False,
        is_fresh: bool = False,
    ) -> None:
        self._machine = machine
        """Or its name in lab.yaml, as long as nobody has asked for it: collecting alone needs none."""
        self._audience = audience or Audience()
        self.checks_only = checks_only
        self._is_fresh = is_fresh
        """Nobody has used the machine since it was booted, so that the first lesson need not reset it."""
        self._lessons: dict[Path, Lesson] = {}
        self._played: PlayedLesson | None = None
        self.lost: InfrastructureError | None = None
        self.left = False
        """The reader ended the lesson before its end."""
        self.interrupted = False
        """Ctrl-C did."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """From now on it is this run's."""
        config.stash[Stage.KEY] = self

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """pytest calls this for its own ways of stopping early, too."""
        self.interrupted = type(excinfo.value) is KeyboardInterrupt

    @property
    def machine(self) -> Machine:
        """LabkitError where lab.yaml does not know it."""
        if self._machine is None or isinstance(self._machine, str):
            self._machine = machines.open_machine(lab.load().machine(self._machine))
        return self._machine

    def lesson(self, path: Path) -> Lesson:
        """The lesson in whose directory ``path`` is. pytest.UsageError where there is none, or it does not parse."""
        readme = path.parent / "README.md"
        if readme not in self._lessons:
            if not readme.is_file():
                raise pytest.UsageError(f"{path.parent} is no lesson: it has no README.md")
            with _usage_errors():
                self._lessons[readme] = parser.read(readme)
        return self._lessons[readme]

    def played(self, item: pytest.Item) -> PlayedLesson:
        """The lesson to which ``item`` belongs, with its machine ready."""
        lesson = self.lesson(item.path)
        if self._played is None or self._played.lesson is not lesson:
            self.close()
            self._played = PlayedLesson(lesson, self.machine, self._audience, self.checks_only, self._is_fresh)
            self._is_fresh = False
        self._played.open()
        return self._played

    def close(self) -> None:
        """End the lesson, if one is being played."""
        if self._played is not None:
            self._played.close()
            self._played = None


@contextmanager
def _usage_errors(where: str = "") -> Iterator[None]:
    """What the author of a lesson, or of lab.yaml, has to mend is one error of pytest's, and not one for each item."""
    try:
        yield
    except LabkitError as error:
        raise pytest.UsageError(f"{where}{error.message} {error.hint}") from None


# ---- items


class LessonFile(pytest.File):
    """A README.md."""

    def collect(self) -> Iterable[pytest.Item]:
        """Its steps."""
        for step in self.config.stash[Stage.KEY].lesson(self.path).steps:
            yield StepItem.from_parent(self, name=step.id, step=step)


class StepItem(pytest.Item):
    """One step of a lesson."""

    def __init__(self, *, step: Step, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step

    def runtest(self) -> None:
        """Play it."""
        played = self.config.stash[Stage.KEY].played(self)
        failure = played.reach(played.lesson.position(self.step.id))
        if failure:
            raise failure

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What the lesson says and what came; anything else is a mistake of ours, with its traceback."""
        failure = excinfo.value
        return describe(failure, self.path) if isinstance(failure, StepFailedError) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, line from 0, and how a report calls it."""
        return self.path, self.step.line - 1, f"step: {self.step.title}"


def describe(failure: StepFailedError, path: Path) -> str:
    """A failed step as plain text."""
    command = failure.command
    lines = [f"{path}:{command.line}: {failure.reason}", "  $ " + command.text.replace("\n", "\n  > ")]
    shown = [f"{sign} {text}" for sign, text in failure.difference] or failure.output.splitlines()
    return "\n".join([*lines, *[f"  {line}" for line in shown]])


# ---- fixtures


@pytest.fixture
def lesson(request: pytest.FixtureRequest) -> PlayedLesson:
    """The lesson being played: ``lesson.output("step-id")``, ``lesson.variable("name")``."""
    stage = request.config.stash[Stage.KEY]
    if stage.checks_only:
        pytest.skip("it reads what the lesson printed, and the lesson is not played")
    return stage.played(request.node)


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Host:
    """The machine, as testinfra sees it: ``host.run("ip link show %s", name)``."""
    return request.config.stash[Stage.KEY].played(request.node).open()


# ---- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--machine``, ``--checks-only`` and ``--machine-is-fresh``."""
    group = parser.getgroup("labkit")
    group.addoption("--machine", default=None, help="the machine of lab.yaml on which lessons are played")
    group.addoption("--checks-only", action="store_true", help="play no step; check what is there")
    group.addoption(
        "--machine-is-fresh", dest="is_fresh", action="store_true", help="it was just booted: do not reset it first"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Marks and state."""
    config.addinivalue_line("markers", "claim(id): the statement of the article that this check proves")
    config.addinivalue_line("markers", "after(step_id, by_hand=True): the step of the lesson that this check follows")
    config.addinivalue_line("markers", "needs(name, ...): what of the kernel this check needs beyond its lesson")
    option = config.getoption
    made = Stage(option("machine"), checks_only=option("checks_only"), is_fresh=option("is_fresh"))
    config.stash.setdefault(Stage.KEY, made)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> LessonFile | None:
    """A lesson's README.md; test_*.py is collected by pytest itself."""
    stage = parent.config.stash[Stage.KEY]
    if file_path.name != "README.md" or stage.checks_only or not _has_front_matter(file_path):
        return None
    return LessonFile.from_parent(parent, path=file_path)


def _has_front_matter(path: Path) -> bool:
    """Whether it is a lesson: ``scenarios`` may hold a README.md about lessons."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().rstrip() == "---"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put each check behind its step."""
    stage = config.stash[Stage.KEY]
    places: dict[pytest.Item, tuple[str, int, bool]] = {}
    for item in items:
        lesson = stage.lesson(item.path)
        places[item] = (lesson.name, _position(item, lesson), not isinstance(item, StepItem))
        for need in _needs(item):
            if need not in NEEDS:
                raise pytest.UsageError(f"{item.nodeid}: there is no need called “{need}”. {suggestion(need, NEEDS)}")
        item.user_properties += [("claim", mark.args[0]) for mark in item.iter_markers("claim")]
    items.sort(key=places.__getitem__)  # stable: checks of one step stay in their file's order


def _position(item: pytest.Item, lesson: Lesson) -> int:
    """The step that ``item`` is or follows, from 0; the last one where it does not say."""
    if isinstance(item, StepItem):
        return lesson.position(item.step.id)
    mark = item.get_closest_marker("after")
    if mark is None:
        return len(lesson.steps) - 1
    with _usage_errors(f"{item.nodeid}: "):
        return lesson.position(mark.args[0])


def _needs(item: pytest.Item) -> tuple[str, ...]:
    """What the item needs beyond its lesson."""
    return tuple(name for mark in item.iter_markers("needs") for name in mark.args)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Look the machine up before the first item: that lab.yaml does not know it is one error, and not one for each."""
    if session.items and not session.config.option.collectonly:
        with _usage_errors():
            _ = session.config.stash[Stage.KEY].machine


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Bring the lesson to where the item can run."""
    stage = item.config.stash[Stage.KEY]
    played = stage.played(item)
    probed = played.probe(played.lesson.needs + _needs(item))
    # For the matrix, which compares them with what lab.yaml expects; see the module's docstring.
    item.user_properties += [("lacks", f"{name}: {why}") if why else ("has", name) for name, why in probed.items()]
    if any(probed.values()):
        _skip(item, LACKING, "; ".join(why for why in probed.values() if why))
    mark = item.get_closest_marker("after")
    if stage.checks_only:
        if mark is not None and not mark.kwargs.get("by_hand", True):
            _skip(item, NOT_RUN, "it means something in the played lesson only")
        return
    position = _position(item, played.lesson) - isinstance(item, StepItem)
    failure = played.reach(position) if position >= 0 else None
    if failure:
        _skip(item, NOT_RUN, f"the step “{failure.step.title}” failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the report what the narrator needs, and a machine that is gone its own verdict."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    # Reports are open to plugins' attributes.
    report.lesson_item, report.lesson_error = item, error  # type: ignore[attr-defined]
    report.lesson_verdict = item.stash.get(_VERDICT, report.outcome)  # type: ignore[attr-defined]
    if isinstance(error, InfrastructureError):
        stage = item.config.stash[Stage.KEY]
        stage.lost, report.lesson_verdict = error, INFRASTRUCTURE  # type: ignore[attr-defined]
        # pytest calls what fails in a test's own phase a failure, and an error what fails around it, in junit too.
        report.when, report.outcome, report.longrepr = "setup", "failed", explain(error, stage.machine)
        item.session.shouldstop = f"infrastructure error: {error.message}"
    elif isinstance(error, LessonLeftError):
        item.config.stash[Stage.KEY].left = True
        report.lesson_verdict = NOT_RUN  # type: ignore[attr-defined]
        report.outcome, report.longrepr = "skipped", (str(item.path), 1, f"{NOT_RUN}: the reader left the lesson")
        item.session.shouldstop = "the reader left the lesson"
    return report


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """The verdicts of their own."""
    letters = {LACKING: "L", NOT_RUN: "N"}
    verdict = getattr(report, "lesson_verdict", "")
    # The phases around a skipped item pass, and count for nothing.
    return (verdict, letters[verdict], verdict.upper()) if verdict in letters and report.skipped else None


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """End the lesson, give the exit status, and name the lacking in the junit file."""
    stage = session.config.stash[Stage.KEY]
    stage.close()
    if stage.lost is not None:
        session.exitstatus = stage.lost.exit_status
    elif stage.left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if session.testsfailed else pytest.ExitCode.OK
    yield
    path = session.config.getoption("xmlpath", None)
    if path and Path(path).is_file():
        _name_the_lacking(Path(path))


def _name_the_lacking(path: Path) -> None:
    """Write ``type="lacking"`` where pytest wrote ``pytest.skip``, so that a matrix need not read messages."""
    tree = ElementTree.parse(path)  # noqa: S314  # pytest wrote it a moment ago
    for skipped in tree.iter("skipped"):
        kind, colon, _ = skipped.get("message", "").partition(": ")
        if colon and kind in (LACKING, NOT_RUN):
            skipped.set("type", kind)
    tree.write(path, encoding="utf-8", xml_declaration=True)
