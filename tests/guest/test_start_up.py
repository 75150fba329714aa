"""The second fence of labkit/runtime/std: what a start has imported by its end, by the shipped launchers' way."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from bundles import Bundle
from programs import LABKIT, LABKIT_OCI

#: What costs more than all that we have of it.
SLOW = "re enum collections dataclasses json typing contextlib socket subprocess logging ctypes".split()

_MAIN = "quickstart.leave(main())"
#: The same, with every process of ours (the container's shim is one) telling what it has imported when it ends.
_TELLING = """\
import posix
def tell_and_leave(status, leave=posix._exit):
    with open({place!r}, "a") as told:
        for name, module in sys.modules.items():
            print(name, type(getattr(module, "__loader__", None)).__name__, file=told)
    leave(status)
os._exit = posix._exit = tell_and_leave
quickstart.leave(main())
"""


def modules(program: str, arguments: list[str], directory: Path) -> dict[str, str]:
    """What a launcher's processes have imported by their end: name -> the class of what has loaded it."""
    text = Path(program).read_text()
    assert text.count(_MAIN) == 1
    place = directory / "modules"
    launcher = directory / "launcher"
    launcher.write_text(text.replace("__file__", repr(program)).replace(_MAIN, _TELLING.format(place=str(place))))
    command = [*text.splitlines()[0][len("#!") :].split(), str(launcher), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "it runs\n"), done.stderr
    return dict(line.split(" ") for line in place.read_text().splitlines())


@pytest.mark.parametrize("program", [*LABKIT, *LABKIT_OCI], ids=["labkit", "labkit-oci"])
def test_a_start_imports_nothing_that_starts_slowly(program: str, tmp_path: Path) -> None:
    arguments = ["run", "--rm", "busybox", "echo", "it runs"]
    if [program] == LABKIT_OCI:
        bundle = Bundle(tmp_path / "bundle")
        bundle.config["process"]["args"] = ["echo", "it runs"]
        (bundle.directory / "config.json").write_text(json.dumps(bundle.config))
        arguments = ["run", "--bundle", str(bundle.directory), "start-up"]
    found = modules(program, arguments, tmp_path)
    assert [name for name in SLOW if name in found] == []
    assert "labkit.runtime.oci.plan" in found
    assert {name for name in found if name.startswith("labkit.") and found[name] != "Finder"} == set()
