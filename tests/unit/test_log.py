from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import log


@pytest.fixture
def events() -> Iterator[list[log.Event]]:
    seen: list[log.Event] = []
    stop = log.listen(seen.append)
    yield seen
    stop()


def test_a_step_tells_its_beginning_its_notes_and_its_end(events: list[log.Event]) -> None:
    with log.step("Booting") as step:
        step.note("kernel is up")
    assert [event["event"] for event in events] == ["step-start", "step-note", "step-end"]
    assert [event["step"] for event in events] == [step.number] * 3
    assert (events[1]["text"], events[2]["ok"], events[2]["title"]) == ("kernel is up", True, "Booting")
    assert events[0]["time"] <= events[2]["time"]
    assert events[2]["seconds"] >= 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_step_that_fails_says_so_and_lets_the_error_through(
    events: list[log.Event], error: type[BaseException]
) -> None:
    with pytest.raises(error), log.step("Booting"):
        raise error
    assert events[-1]["event"] == "step-end"
    assert events[-1]["ok"] is False


def test_steps_are_told_apart(events: list[log.Event]) -> None:
    with log.step("outer") as outer, log.step("inner") as inner:
        pass
    assert outer.number != inner.number
    assert [event["title"] for event in events if event["event"] == "step-end"] == ["inner", "outer"]


def test_who_stopped_listening_hears_nothing() -> None:
    seen: list[log.Event] = []
    stop = log.listen(seen.append)
    log.emit("one")
    stop()
    log.emit("two")
    assert [event["event"] for event in seen] == ["one"]


def test_json_lines_of_several_threads_stay_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    stop = log.write_json_lines(str(file))
    threads = [threading.Thread(target=lambda: [log.emit("x", path=tmp_path) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop()
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(records) == 200
    assert records[0]["path"] == str(tmp_path)


def test_the_environment_asks_for_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_listeners", [])
    monkeypatch.delenv("LABKIT_LOG", raising=False)
    log.listen_as_environment_says()
    assert log._listeners == []
    monkeypatch.setenv("LABKIT_LOG", str(tmp_path / "log"))
    log.listen_as_environment_says()
    log.emit("hello", answer=42)
    assert json.loads((tmp_path / "log").read_text())["answer"] == 42
