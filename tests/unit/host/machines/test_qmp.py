"""The monitor, against a small server that speaks QMP, and against QEMU itself where there is one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from labkit.errors import InfrastructureError
from labkit.host.machines import qmp


class Monitor:
    """Answers as QEMU does, by command: a value is returned, an exception's text is a refusal, None hangs."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.commands: list[tuple[str, Any]] = []
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                try:
                    self._converse(peer)
                except (OSError, ValueError):
                    continue

    def _converse(self, peer: socket.socket) -> None:
        version = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}
        self._send(peer, {"QMP": {"version": version, "capabilities": []}})
        for message in _messages(peer):
            name, arguments = message["execute"], message.get("arguments")
            same = {key: message[key] for key in ("id",) if key in message}
            if name == "qmp_capabilities":
                self._send(peer, {"return": {}, **same})
                continue
            self.commands.append((name, arguments))
            answer = self._answers.get(name, {})
            if isinstance(answer, Exception):
                refusal = {"class": "GenericError", "desc": str(answer)}
                self._send(peer, {"error": refusal, **same})
            elif answer is not None:
                self._send(peer, {"return": answer, **same})

    @staticmethod
    def _send(peer: socket.socket, message: dict[str, Any]) -> None:
        peer.sendall(json.dumps(message).encode() + b"\n")


def _messages(peer: socket.socket) -> Iterator[dict[str, Any]]:
    """JSON objects as they come; the client puts nothing between them."""
    text = ""
    while received := peer.recv(4096):
        text += received.decode()
        while text:
            try:
                message, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break  # the rest is still on its way
            text = text[end:].lstrip()
            yield message


def test_load_snapshot_lets_the_guest_run() -> None:
    with Monitor({"human-monitor-command": ""}) as monitor:
        qmp.load_snapshot(monitor.address, "labkit")
    assert monitor.commands == [("human-monitor-command", {"command-line": "loadvm labkit"}), ("cont", None)]


def test_what_the_human_monitor_says_is_an_error() -> None:
    with (
        Monitor({"human-monitor-command": "Error: No space left\r\n"}) as monitor,
        pytest.raises(InfrastructureError, match=r"savevm labkit.*No space left"),
    ):
        qmp.save_snapshot(monitor.address, "labkit")


def test_a_refusal_is_told() -> None:
    with Monitor({"stop": ValueError("not now")}) as monitor, pytest.raises(InfrastructureError, match="not now"):
        qmp.execute(monitor.address, "stop")


def test_a_monitor_that_hangs_is_given_up() -> None:
    started = time.monotonic()
    with Monitor({"stop": None}) as monitor, pytest.raises(InfrastructureError, match="within"):
        qmp.execute(monitor.address, "stop", seconds=0.5)
    assert time.monotonic() - started < 10


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with pytest.raises(InfrastructureError, match="does not answer"):
        qmp.execute(address, "stop", seconds=0.3)


def test_a_process_that_ended_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="QEMU ended"):
        qmp.execute(address, "query-status", seconds=60, still_there=lambda: False)
    assert time.monotonic() - started < 10


def test_quit_never_raises() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    qmp.quit_qemu(address, seconds=0.3)


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A QEMU without a machine, and its monitor's socket."""
    program = shutil.which("qemu-system-x86_64")
    if program is None or sys.platform == "win32":
        pytest.skip("needs qemu-system-x86_64 and Unix sockets")
    path = str(tmp_path / "monitor")
    command = [
        program,
        "-machine",
        "none",
        "-nodefaults",
        "-display",
        "none",
        "-qmp",
        f"unix:{path},server=on,wait=off",
    ]
    with subprocess.Popen(command) as process:
        yield path, process
        process.kill()


def test_the_real_thing(qemu: tuple[str, subprocess.Popen[bytes]]) -> None:
    path, process = qemu
    qmp.execute(path, "query-status", None, 20, lambda: process.poll() is None)
    answer = qmp.execute(path, "query-status")
    assert isinstance(answer, dict)
    assert answer["running"] is True
    assert "QEMU" not in str(qmp.execute(path, "human-monitor-command", {"command-line": "info name"}))
    with pytest.raises(InfrastructureError, match="loadvm"):
        qmp.load_snapshot(path, "there-is-none")
    qmp.quit_qemu(path)
    assert process.wait(20) == 0
