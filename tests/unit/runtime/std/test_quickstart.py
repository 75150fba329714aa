from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.host.payload import receiver
from labkit.runtime.std import quickstart

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it is for the guest side, which is Linux")

PROGRAM = """\
import sys
library = sys.argv[1]
sys.path.insert(0, library)
from labkit.runtime.std import quickstart
quickstart.prepare(library)
from labkit.part import one
print(one.VALUE, one.__file__, one.__loader__.__class__.__module__, sys.modules["labkit.part"].__path__)
quickstart.leave(int(sys.argv[2]))
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A package with a module that is found directly."""
    package = tmp_path / "labkit/part"
    package.mkdir(parents=True)
    (tmp_path / "labkit/runtime/std").mkdir(parents=True)
    for place in ("labkit", "labkit/part", "labkit/runtime", "labkit/runtime/std"):
        (tmp_path / place / "__init__.py").touch()
    source = Path(quickstart.__file__)
    (tmp_path / "labkit/runtime/std/quickstart.py").write_bytes(source.read_bytes())
    (package / "one.py").write_text("VALUE = 1\n")
    pack(tmp_path)
    return tmp_path


def pack(library: Path) -> None:
    """As it is done at each deployment, with files below its prefix."""
    paths = [path.relative_to(library.parent).as_posix() for path in library.rglob("*.py")]
    receiver.pack(library, paths)


def run(library: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-ISB", "-c", PROGRAM, str(library), str(status)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_modules_are_found_and_the_status_is_passed_on(library: Path) -> None:
    done = run(library, 7)
    assert done.returncode == 7, done.stderr
    place = library / "labkit/part"
    assert done.stdout.split() == ["1", str(place / "one.py"), "labkit.runtime.std.quickstart", f"['{place}']"]


def test_the_byte_code_is_what_is_executed(library: Path) -> None:
    """The same time and size, another text: only somebody who read the byte code still says 1."""
    source = library / "labkit/part/one.py"
    about = source.stat()
    source.write_text("VALUE = 2\n")
    os.utime(source, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert run(library).stdout.startswith("1 ")


@pytest.mark.parametrize("damage", ["newer source", "cut short", "another Python", "none"])
def test_byte_code_that_is_not_the_sources_is_not_used(library: Path, damage: str) -> None:
    source = library / "labkit/part/one.py"
    about = source.stat()
    source.write_text("VALUE = 2\n")
    file = library / quickstart.FILE
    code = file.read_bytes()
    if damage == "newer source":
        os.utime(source, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    else:
        os.utime(source, ns=(about.st_atime_ns, about.st_mtime_ns))
    if damage == "cut short":
        file.write_bytes(code[:-1])
    elif damage == "another Python":
        file.write_bytes(b"\0\0\r\n" + code[4:])
    elif damage == "none":
        file.unlink()
    for cached in source.parent.glob("__pycache__/one.*"):  # by its time it would be taken for this source's
        cached.unlink()
    assert run(library).stdout.startswith("2 ")


def test_what_is_packed_is_the_source_as_it_is_now(library: Path) -> None:
    """Byte code beside the source may be that of another one: somebody may have edited the source in place."""
    (library / "labkit/part/one.py").write_text("VALUE = 22\n")
    (library / "labkit/part/broken.py").write_text("VALUE = \n")
    pack(library)
    done = run(library)
    assert done.stdout.split()[0::2][:2] == ["22", "labkit.runtime.std.quickstart"]


def test_a_broken_module_is_a_traceback_with_its_line(library: Path) -> None:
    (library / "labkit/part/one.py").write_text("VALUE = 1\nraise OSError('as it is')\n")
    done = run(library)
    assert done.returncode == 1
    assert 'one.py", line 2' in done.stderr
    assert "raise OSError" in done.stderr


def test_a_library_that_was_moved_is_named_by_where_it_is(library: Path) -> None:
    """Times and sizes are as they were, so the byte code is still taken: a function's traceback names its file."""
    (library / "labkit/part/one.py").write_text("def fail():\n    raise OSError('as it is')\nVALUE = fail\n")
    pack(library)
    moved = library.rename(library.with_name("moved"))
    program = PROGRAM.replace("print(one.VALUE,", "one.fail()\nprint(")
    done = subprocess.run([sys.executable, "-ISB", "-c", program, str(moved), "0"], capture_output=True, text=True)
    assert f'{moved}/labkit/part/one.py", line 2, in fail' in done.stderr
    assert "raise OSError" in done.stderr


def test_output_that_cannot_be_written_is_no_success(library: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    command = [sys.executable, "-ISB", "-c", PROGRAM, str(library), "0"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode != 0
