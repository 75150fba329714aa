"""What labkit events tells."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from conftest import labkit, wait_for
from programs import LABKIT

from labkit.runtime.engine.record import eventlog


def told(since: float, *words: str) -> list[dict[str, object]]:
    lines = labkit("events", "--since", f"{since}", "--until", "0s", "--json", *words).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_a_life() -> None:
    began = time.time()
    labkit("run", "-d", "--name", "lived", "busybox", "sleep", "100")
    labkit("pause", "lived")
    labkit("unpause", "lived")
    labkit("exec", "lived", "sh", "-c", "exit 5", check=False)
    labkit("rename", "lived", "living")
    labkit("kill", "-s", "CONT", "living")
    labkit("stop", "-t", "0", "living")
    labkit("rm", "living")
    labkit("run", "--rm", "--name", "short", "busybox", "sh", "-c", "exit 3", check=False)
    found = told(began)
    assert [event["action"] for event in found] == [
        *("create", "start", "pause", "unpause", "exec_start", "exec_die", "rename", "kill", "die", "stop", "destroy"),
        *("create", "start", "die", "destroy"),
    ]
    assert [event["exit_code"] for event in told(began, "-f", "event=die")] == [137, 3]
    (started,) = told(began, "-f", "event=exec_start")
    assert started["command"] == ["sh", "-c", "exit 5"]
    assert [event["exit_code"] for event in told(began, "-f", "event=exec_die")] == [5]
    assert {event["name"] for event in told(began, "-f", "container=short")} == {"short"}
    assert len(told(began, "-f", "container=short", "-f", "event=start", "-f", "event=die")) == 2
    assert told(began, "-f", "image=redis") == []
    assert labkit("events", "-f", "x=y", check=False).returncode == 2


def test_they_are_followed_and_the_log_is_turned_over() -> None:
    following = subprocess.Popen(
        [*LABKIT, "events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"], stdout=subprocess.PIPE
    )
    try:
        assert following.stdout
        os.set_blocking(following.stdout.fileno(), False)
        seen = b""

        def read() -> bytes:
            nonlocal seen
            seen += following.stdout.read() or b"" if following.stdout else b""
            return seen

        # It sees the first that comes when it is up.
        assert wait_for(
            lambda: labkit("run", "--rm", "--name", "first", "busybox", "true") and b"destroy first" in read()
        )
        with open(eventlog.LOG, "a", encoding="utf-8") as file:
            file.write(" " * (1 << 20) + "\n")
        labkit("run", "--rm", "--name", "second", "busybox", "true")
        assert wait_for(lambda: b"destroy second" in read())
        assert seen.count(b"create second") == 1
        assert Path(f"{eventlog.LOG}.old").stat().st_size > 1 << 20
        assert Path(eventlog.LOG).stat().st_size < 4096
        assert any(event["name"] == "first" for event in told(time.time() - 60))
    finally:
        following.kill()
        following.wait()
