"""Terminals: the console socket, the size, /dev/console, and our own one in the foreground."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import wait_for
from runtime import Runtime


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A console socket, as a container manager has it."""
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind(str(tmp_path / "console"))
        waiting.listen()
        waiting.settimeout(30)
        yield waiting


def master_from(listener: socket.socket) -> int:
    """The terminal's master that was sent."""
    connection, _ = listener.accept()
    with connection:
        _, (master,), _, _ = socket.recv_fds(connection, 4096, 1)
    return master


def read_all(master: int) -> str:
    """Until the other end is closed for good."""
    said = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            part = b""
        if not part:
            return said.decode().replace("\r\n", "\n")
        said += part


def test_a_console_socket_gets_the_master(oci: Runtime, listener: socket.socket, tmp_path: Path) -> None:
    oci.process.update(terminal=True, consoleSize={"width": 91, "height": 37})
    oci.runs("tty; stty size; stat -c %t:%T /dev/console; test -t 2 && echo terminal > /dev/tty")
    oci.make("--console-socket", str(tmp_path / "console"))
    master = master_from(listener)
    assert struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, b"\0" * 8))[:2] == (37, 91)
    oci("start", oci.id)
    assert read_all(master) == "/dev/pts/0\n37 91\n88:0\nterminal\n"  # 136 is the slaves' major number
    os.close(master)


@pytest.mark.parametrize("how", ["/dev", "the root", "a path", "all of them"])
def test_a_terminal_where_dev_will_be_read_only(
    oci: Runtime, listener: socket.socket, tmp_path: Path, how: str
) -> None:
    """/dev/console is made before anything becomes read-only."""
    config = oci.bundle.config
    dev = next(mount for mount in config["mounts"] if mount["destination"] == "/dev")
    if how in ("/dev", "all of them"):
        dev["options"].append("ro")
    else:
        config["mounts"].remove(dev)
    config["root"]["readonly"] = how in ("the root", "all of them")
    config["linux"]["readonlyPaths"] = ["/dev"] if how in ("a path", "all of them") else []
    oci.process["terminal"] = True
    oci.runs("tty; stat -c %t:%T /dev/console; touch /dev/new 2> /dev/null || echo kept out; echo said > /dev/console")
    oci.make("--console-socket", str(tmp_path / "console"))
    master = master_from(listener)
    oci("start", oci.id)
    assert read_all(master) == "/dev/pts/0\n88:0\nkept out\nsaid\n"
    os.close(master)


def test_keys_reach_the_program_and_interrupt_it(oci: Runtime, listener: socket.socket, tmp_path: Path) -> None:
    oci.process["terminal"] = True
    oci.runs("trap 'echo interrupted; exit 0' INT; read -r line; echo got $line; sleep 1000 & wait")
    oci.make("--console-socket", str(tmp_path / "console"))
    master = master_from(listener)
    oci("start", oci.id)
    os.write(master, b"word\n")
    said = b""
    while b"got word" not in said:
        said += os.read(master, 4096)
    os.write(master, b"\x03")
    assert "interrupted" in read_all(master)
    os.close(master)


def test_exec_with_a_console_socket(oci: Runtime, listener: socket.socket, tmp_path: Path) -> None:
    oci.runs("sleep 1000")
    oci.make("--detach", command="run")
    words = ["--tty", "--detach", "--console-socket", str(tmp_path / "console")]
    oci("exec", *words, oci.id, "sh", "-c", "tty")
    master = master_from(listener)
    assert read_all(master) == "/dev/pts/0\n"
    os.close(master)


@pytest.mark.parametrize("command", ["run", "exec"])
def test_in_the_foreground_our_terminal_is_passed_through(oci: Runtime, command: str) -> None:
    oci.runs("sleep 1000")
    script = "stty size; read -r line; echo got $line; exit 5"
    if command == "run":
        oci.process["terminal"] = True
        oci.runs(script)
        oci.write()
        words = [*oci.command, "run", "--bundle", str(oci.bundle.directory), oci.id]
    else:
        oci.make("--detach", command="run")
        words = [*oci.command, "exec", "--tty", oci.id, "sh", "-c", script]
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 22, 0, 0))
        os.execv(words[0], words)
    said = b""
    while b"\n" not in said:
        said += os.read(master, 4096)
    assert said == b"11 22\r\n"
    os.write(master, b"word\r")
    rest = read_all(master)
    assert "got word" in rest
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    os.close(master)


def test_our_terminal_is_found_where_input_and_output_lead_elsewhere(oci: Runtime, tmp_path: Path) -> None:
    oci.process["terminal"] = True
    oci.runs("stty size; tty")
    oci.write()
    words = [*oci.command, "run", "--bundle", str(oci.bundle.directory), oci.id]
    said = tmp_path / "said"
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        os.execvp("sh", ["sh", "-c", 'exec "$@" < /dev/null > "$0" 2>&1', str(said), *words])
    read_all(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said.read_text()
    assert said.read_text().split() == ["33", "77", "/dev/pts/0"]
    os.close(master)


def test_in_the_background_our_terminal_is_left_alone(oci: Runtime) -> None:
    oci.process["terminal"] = True
    oci.runs("echo done")
    oci.write()
    words = [*oci.command, "run", "--bundle", str(oci.bundle.directory), oci.id]
    pid, master = pty.fork()
    if pid == 0:
        # -m: a process group of its own, which the terminal does not listen to and would stop.
        os.execvp("sh", ["sh", "-mc", '"$@" < /dev/null & wait $!', "sh", *words])
    assert "done" in read_all(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(master)


def test_a_terminal_needs_somebody_who_takes_it(oci: Runtime, tmp_path: Path) -> None:
    bundle = str(oci.bundle.directory)
    oci.process["terminal"] = True
    oci.write()
    assert "cannot allocate tty" in oci.refusal("create", "--bundle", bundle, oci.id)
    nobody = str(tmp_path / "nobody")
    assert "cannot be connected to" in oci.refusal("create", "--bundle", bundle, "--console-socket", nobody, oci.id)
    oci.process["terminal"] = False
    oci.write()
    assert "cannot use console socket" in oci.refusal("create", "--bundle", bundle, "--console-socket", nobody, oci.id)
    assert wait_for(lambda: not oci.root.exists() or os.listdir(oci.root) == [])
