"""What labkit-oci says to other programs: JSON letter by letter as runc spells it, the log, and answers by status."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import wait_for
from programs import LABKIT_OCI
from runtime import Runtime

from labkit.runtime.cgroups.detect import here

ON_V1 = pytest.mark.skipif("freezer" not in here().v1, reason="this machine's freezer is v2's, where frozen ones die")


@pytest.fixture
def running(oci: Runtime) -> Runtime:
    """A container that sleeps, with a word in its annotations that needs to be escaped."""
    oci.runs("sleep 1000")
    oci.bundle.config["annotations"] = {"org.example": "<ä&>"}
    oci.make("--detach", command="run")
    return oci


def test_the_signal_0_asks_whether_it_runs(running: Runtime) -> None:
    running("kill", running.id, "0")
    assert running.status() == "running"
    running("kill", running.id, "KILL")
    assert wait_for(lambda: running.status() == "stopped")
    assert running.refusal("kill", running.id, "0") == "container not running"
    running("kill", "--all", running.id, "0")


def test_state_is_spelt_as_runc_spells_it(running: Runtime) -> None:
    text = running("state", running.id)
    found = json.loads(text)
    names = ("ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner")
    assert tuple(found) == names
    assert text == "{\n" + ",\n".join(_lines(found)) + "\n}"


def _lines(found: dict[str, object]) -> Iterator[str]:
    for name, value in found.items():
        if name == "annotations":
            yield '  "annotations": {\n    "org.example": "\\u003cä\\u0026\\u003e"\n  }'
        else:
            yield f'  "{name}": {json.dumps(value)}'


def test_list_ps_and_events_have_no_blanks_and_runcs_order(running: Runtime) -> None:
    listed = running("list", "--format", "json")
    assert listed.startswith('[{"ociVersion":"1.2.0","id":"' + running.id + '","pid":')
    assert listed.endswith(',"annotations":{"org.example":"\\u003cä\\u0026\\u003e"},"owner":"root"}]\n')
    assert running("ps", "--format", "json", running.id) == f"[{running.state()['pid']}]\n"
    event = running("events", "--stats", running.id)
    assert event.startswith('{"type":"stats","id":"' + running.id + '","data":{"cpu":{"usage":{"total":')
    assert event.endswith('"intel_rdt":{},"network_interfaces":null}}\n')
    assert (": " in event, ", " in event) == (False, False)
    data = json.loads(event)["data"]
    expected = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"]
    assert list(data) == expected
    assert list(data["memory"]["raw"]) == sorted(data["memory"]["raw"])


def test_what_is_empty_is_null_in_a_list(running: Runtime) -> None:
    running("kill", running.id, "KILL")
    assert wait_for(lambda: running.status() == "stopped")
    assert running("ps", "--format", "json", running.id) == "null\n"
    running("delete", running.id)
    assert running("list", "--format", "json") == "null\n"


@pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")
def test_runcs_own_words_are_ours(running: Runtime, tmp_path: Path) -> None:
    theirs = ["runc", "--root", str(tmp_path / "runc")]
    running.bundle.config["linux"]["cgroupsPath"] = "/labkit-tests-runc/spelling"
    running.write()
    quiet = subprocess.DEVNULL
    words = [*theirs, "run", "--detach", "--bundle", str(running.bundle.directory), running.id]
    subprocess.run(words, stdin=quiet, stdout=quiet, stderr=quiet, timeout=60, check=True)
    try:
        for command in (["state"], ["events", "--stats"], ["ps", "--format", "json"], ["list", "--format", "json"]):
            last = [] if command[0] == "list" else [running.id]
            said = subprocess.run([*theirs, *command, *last], capture_output=True, text=True, timeout=60, check=True)
            assert _skeleton(running(*command, *last)) == _skeleton(said.stdout), command
    finally:
        subprocess.run([*theirs, "delete", "--force", running.id], timeout=60, check=True)
        for place in {*here().v1.values(), here().v2} - {""}:
            if os.path.isdir(f"{place}/labkit-tests-runc"):
                os.rmdir(f"{place}/labkit-tests-runc")


def _skeleton(text: str) -> str:
    """Names, order and blanks, the end's, too. Numbers and words differ."""
    text = re.sub(r"-?\d+", "0", re.sub(r'(: ?)"(?:[^"\\]|\\.)*"', r'\1"…"', text))
    # A counter that is 0 for one of the two is left out by it, and a list is as long as it is.
    text = re.sub(r'"(percpu_kernel|percpu_user|usage|max|cache)":(0|\[[0,]*\]),?', "", text)
    return re.sub(r"\[[0,]*\]", "[0]", text)


def test_every_command_logs_what_it_does(oci: Runtime) -> None:
    oci.runs("sleep 1000")
    oci.write()
    log = oci.bundle.directory / "log"
    door = "/cgroup.procs" if here().mode == "v2" else "/tasks"
    for number, (words, sentences) in enumerate(
        (
            (["create", "--bundle", str(oci.bundle.directory)], ("unshare ",)),
            (["start"], ("sleep 1000",)),
            (["exec"], ("nsenter --target ", door, "cd / && exec setpriv")),
            (["state"], ("labkit-oci state ",)),
            (["pause"], ("echo ",)),
            (["resume"], ("echo ",)),
            (["kill"], ("kill -15 ",)),
            (["update", "--pids-limit", "70"], ("echo 70 > ",)),
            (["delete", "--force"], ("kill -9 ", "rmdir ", "rm -r ")),
        )
    ):
        form = ("text", "json")[number % 2]
        log.unlink(missing_ok=True)
        command = [*oci.command, "--debug", "--log", str(log), "--log-format", form, *words, oci.id]
        command += ["true"] if words[0] == "exec" else []
        with open(oci.bundle.directory / "said", "w+", encoding="utf-8") as said:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=60, check=False)
        text = (oci.bundle.directory / "said").read_text()
        assert (done.returncode, "debug" in text) == (0, False), (words, text)
        messages = [_message(line, form) for line in log.read_text().splitlines()]
        assert all(level == "debug" and message for level, message in messages), messages
        for sentence in sentences:
            assert any(sentence in message for _, message in messages), (words, sentence, messages)


def _message(line: str, form: str) -> tuple[str, str]:
    if form == "json":
        entry = json.loads(line)
        assert list(entry) == ["level", "msg", "time"]
        return entry["level"], entry["msg"]
    found = re.fullmatch(r'time="[^"]*" level=(\w+) msg=(".+"|\S*)', line)
    assert found, line
    return found[1], found[2].strip('"').replace('\\"', '"')


def test_no_log_is_written_inside_the_container(oci: Runtime) -> None:
    oci.bundle.config["hooks"] = {"createContainer": [{"path": "/bin/true"}], "startContainer": [{"path": "/bin/true"}]}
    oci.write()
    log = oci.bundle.directory / "log"
    oci("--debug", "--log", str(log), "run", "--bundle", str(oci.bundle.directory), oci.id)
    assert "createContainer hook #0" in log.read_text()
    assert [place for place, _, files in os.walk(oci.bundle.rootfs) if "log" in files] == []


@ON_V1
@pytest.mark.parametrize("own_pids", [True, False])
def test_what_is_frozen_in_a_group_that_is_not_ours_is_ended(oci: Runtime, own_pids: bool) -> None:
    if not own_pids:
        oci.bundle.without("pid")
    oci.runs("sleep 1000 & exec sleep 1001")
    oci.make("--detach", command="run")
    other = Path(here().v1["freezer"]) / "labkit-tests-other"
    (other / "below").mkdir(parents=True)
    try:
        assert wait_for(lambda: len(json.loads(oci("ps", "--format", "json", oci.id))) == 2)
        pids = json.loads(oci("ps", "--format", "json", oci.id))
        child = next(pid for pid in pids if pid != oci.state()["pid"])
        (other / "below/cgroup.procs").write_text(str(child))
        (other / "freezer.state").write_text("FROZEN")
        oci("delete", "--force", oci.id)
        assert wait_for(lambda: not os.path.exists(f"/proc/{child}"), 5)
        assert (other / "freezer.state").read_text() == "FROZEN\n"  # as its owner left it
    finally:
        (other / "freezer.state").write_text("THAWED")
        (other / "below").rmdir()
        other.rmdir()


def test_a_command_that_is_none_has_runcs_status(oci: Runtime) -> None:
    done = oci.attempt("--log-format", "json", "nonsense")
    assert (done.returncode, json.loads(done.stderr.splitlines()[0])["msg"]) == (3, "No help topic for 'nonsense'")


def test_spec_asks_for_a_cgroup_namespace_on_v2_alone(tmp_path: Path) -> None:
    subprocess.run([*LABKIT_OCI, "spec", "--bundle", str(tmp_path)], timeout=60, check=True)
    assert (tmp_path / "config.json").read_text().endswith("\t}\n}"), "without a newline, as runc writes it"
    text = (tmp_path / "config.json").read_text()
    kinds = [item["type"] for item in json.loads(text)["linux"]["namespaces"]]
    assert kinds == ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if here().mode == "v2" else [])]
    assert '\n\t"ociVersion": "1.2.0",\n' in text
