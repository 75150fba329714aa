from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.runtime.kernel import trampoline
from labkit.runtime.kernel.seccomp import Filter

LINE = b'{"event": "execve", "errno": "000"}\n'
here = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="runs code of Linux on this CPU"
)


#: The descriptor to report to, in here and in the program; none of pytest's own.
REPORT = 200


def _run(contents: bytes, place: Path, *words: str, through: str = "") -> tuple[int, str, bytes]:
    """Status, standard output, and what was reported to descriptor REPORT."""
    place.write_bytes(contents)
    place.chmod(0o755)
    reader, writer = os.pipe()
    os.dup2(writer, REPORT, inheritable=True)
    os.close(writer)
    try:
        command = [*([through] if through else []), str(place), *words]
        done = subprocess.run(command, capture_output=True, text=True, pass_fds=[REPORT], timeout=30, check=False)
    finally:
        os.close(REPORT)
    with open(reader, "rb") as report:
        return done.returncode, done.stdout, report.read()


@here
def test_it_executes_with_its_own_arguments_and_environment(tmp_path: Path) -> None:
    shell = trampoline.program("/bin/sh", REPORT, LINE)
    script = 'echo "$0 $1 $A"; test -e /proc/self/fd/200 && echo leaked'
    os.environ["A"] = "from outside"
    try:
        assert _run(shell, tmp_path / "it", "-c", script, "name", "a b")[1:] == ("name a b from outside\n", b"")
    finally:
        del os.environ["A"]


@here
@pytest.mark.parametrize(("path", "number"), [("/no/such", b"002"), ("/etc/passwd", b"013"), ("/dev/null/x", b"020")])
def test_it_reports_what_execve_says(path: str, number: bytes, tmp_path: Path) -> None:
    status, output, report = _run(trampoline.program(path, REPORT, LINE), tmp_path / "it")
    assert (status, output) == (126, "")
    assert report == LINE.replace(b"000", number)


@here
def test_as_an_interpreter_it_ends_at_once(tmp_path: Path) -> None:
    """The kernel calls it for a script that names it, and the descriptor to report to is closed by then."""
    script = tmp_path / "script"
    (tmp_path / "it").write_bytes(trampoline.program(str(script), REPORT, LINE))
    (tmp_path / "it").chmod(0o755)
    script.write_text(f"#!{tmp_path}/it\n")
    script.chmod(0o755)
    done = subprocess.run([str(tmp_path / "it")], capture_output=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (126, b"")


@here
def test_it_loads_a_filter_first(tmp_path: Path) -> None:
    """An empty filter, which seccomp(2) refuses with EINVAL, so that nothing is executed."""
    refused = trampoline.program("/bin/true", REPORT, LINE, Filter(b""))
    assert _run(refused, tmp_path / "it") == (126, "", LINE.replace(b"000", b"022"))


@pytest.mark.skipif(not shutil.which("qemu-aarch64-static"), reason="there is no qemu-aarch64-static")
def test_the_code_for_arm(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64-static") or ""
    contents = trampoline.program("/no/such", REPORT, LINE, machine="aarch64")
    assert _run(contents, tmp_path / "it", through=emulator) == (126, "", LINE.replace(b"000", b"002"))


def test_headers_say_what_is_there() -> None:
    """Also where it cannot be run: the entry lies on the first instruction of the machine's code."""
    for machine, first in (("x86_64", b"\xbb\xe8\x00\x80\x00"), ("aarch64", struct.pack("<I", 0xD2A01013))):
        contents = trampoline.program("/bin/true", REPORT, LINE, Filter(bytes(16), 4), machine=machine)
        (entry,) = struct.unpack_from("<Q", contents, 24)
        assert contents[entry - 0x400000 :].startswith(first)
        assert contents.endswith(b"/bin/true\0" + LINE)
