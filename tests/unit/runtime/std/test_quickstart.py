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


def make(library: Path, **modules: str) -> None:
    """Modules of ``labkit.part``, by their text; ``__init__`` is the package's own."""
    for name, text in modules.items():
        (library / f"labkit/part/{name}.py").write_text(text)
    pack(library)


#: Says who is executed, in which order, and what each sees of the others.
LOUD = "import sys\nprint(__name__.rpartition('.')[2], end=' ')\n"


def test_what_a_module_imports_is_executed_before_it_and_once(library: Path) -> None:
    make(
        library,
        one=f"from labkit.part import three, two\nfrom labkit.part.three import (\n    NAME,\n)\n{LOUD}VALUE = NAME\n",
        two=f"from labkit.part.three import NAME\n{LOUD}",
        three=f"{LOUD}NAME = 'n'\n",
    )
    done = run(library)
    assert done.stdout.split()[:4] == ["three", "two", "one", "n"], done.stderr


def test_a_package_is_executed_before_the_modules_that_it_imports_itself(library: Path) -> None:
    make(
        library,
        __init__=f"{LOUD}FIRST = 1\nfrom labkit.part import two\n",
        one=f"from labkit.part.two import SECOND\n{LOUD}VALUE = SECOND\n",
        two=f"from labkit.part import FIRST\n{LOUD}SECOND = FIRST + 1\n",
    )
    done = run(library)
    assert done.stdout.split()[:4] == ["part", "two", "one", "2"], done.stderr


def test_modules_for_type_checkers_and_for_later_are_left_alone(library: Path) -> None:
    make(
        library,
        one=f"{LOUD}if 0:\n    from labkit.part import two\ndef later():\n    from labkit.part import two\nVALUE = 1\n",
        two=LOUD,
    )
    assert run(library).stdout.split()[:2] == ["one", "1"]


def test_modules_that_want_one_another_are_an_error_and_not_an_endless_loop(library: Path) -> None:
    make(library, one="from labkit.part.two import OTHER\nVALUE = 1\n", two="from labkit.part.one import VALUE\n")
    done = run(library)
    assert done.returncode == 1
    assert "ImportError: cannot import name" in done.stderr


def test_one_that_was_edited_among_others_that_were_not(library: Path) -> None:
    """It is Python's to find, and may itself import what was about to be executed anyway."""
    make(
        library,
        one=f"from labkit.part import two\nfrom labkit.part import three\n{LOUD}VALUE = two.VALUE\n",
        two=f"{LOUD}VALUE = 2\n",
        three=LOUD,
    )
    (library / "labkit/part/two.py").write_text(f"from labkit.part import three\n{LOUD}VALUE = 22\n")
    done = run(library)
    assert done.stdout.split()[:4] == ["three", "two", "one", "22"], done.stderr


def test_a_module_that_fails_is_not_there_for_the_next_who_asks(library: Path) -> None:
    make(
        library,
        one="try:\n    from labkit.part import two\nexcept OSError:\n    from labkit.part import three\nVALUE = 1\n",
        two="from labkit.part import three\n",
        three=f"{LOUD}import os\nos.mkdir(sys.argv[1] + '/once')\nos.stat(sys.argv[1] + '/none')\n",
    )
    done = run(library)
    assert done.stdout.split() == ["three", "three"]
    assert "FileExistsError" in done.stderr


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
