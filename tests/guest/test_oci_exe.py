"""The runtime itself is out of the container's reach: its program in /proc/PID/exe, its descriptors, its processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundles import Bundle
from conftest import labkit
from programs import LABKIT_OCI

from labkit.runtime.oci import defaults

#: What the kernel would run as ``python -c CODE SCRIPT`` if the interpreter were the runtime's own program.
TRAP = "#!{interpreter} -cprint(open('/proc/self/exe','rb')and'reached')\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


def _set_trap(bundle: Bundle, interpreter: str) -> None:
    (bundle.rootfs / "bin/trap").write_text(TRAP.format(interpreter=interpreter))
    (bundle.rootfs / "bin/trap").chmod(0o755)
    (bundle.rootfs / "bin/way").symlink_to("/proc/self/exe")


@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/bin/way", "/proc/1/exe", "/proc/thread-self/exe"])
@pytest.mark.parametrize("program", ["trap", "/bin/trap"])
def test_a_script_whose_interpreter_is_the_runtime_ends_at_once(bundle: Bundle, interpreter: str, program: str) -> None:
    _set_trap(bundle, interpreter)
    done = bundle.execute([program])
    assert (done.returncode, done.stdout) == (126, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", ["/proc/self/exe", "/proc/1/exe", "/bin/way"])
def test_the_runtime_itself_is_no_program_of_the_container(bundle: Bundle, program: str) -> None:
    _set_trap(bundle, "/bin/sh")
    done = bundle.execute([program, "-c", "print('reached')"])
    assert done.returncode in (1, 126)
    assert done.stdout == ""


def test_where_no_file_in_memory_can_be_executed(bundle: Bundle) -> None:
    """vm.memfd_noexec belongs to the pid namespace (Linux 6.3), so that it can be tried in one of our own."""
    if not os.path.exists("/proc/sys/vm/memfd_noexec"):
        pytest.skip("this kernel cannot forbid it (vm.memfd_noexec, Linux 6.3)")
    _set_trap(bundle, "/proc/self/exe")
    for args, status, output in ((["echo", "works"], 0, "works\n"), (["trap"], 1, "")):
        bundle.config["process"]["args"] = args
        (bundle.directory / "config.json").write_text(json.dumps(bundle.config))
        state = str(bundle.directory / "state")
        script = 'echo 2 > /proc/sys/vm/memfd_noexec && exec "$@"'
        command = [*LABKIT_OCI, "--root", state, "run", "--bundle", str(bundle.directory), "noexec"]
        own = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", *command]
        done = subprocess.run(own, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (status, output), done.stderr
    assert "it leads to labkit's own program" in done.stderr


def test_whoever_enters_a_container_cannot_be_looked_into_from_there() -> None:
    """A process of the container tries to open the program of every other, while others are executed beside it."""
    watch = (
        "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || [ $p = /proc/$$ ] || {"
        " readlink $p/exe; ls $p/fd > /dev/null && (echo > $p/exe) && echo written; }; done; done"
    )
    labkit("run", "-d", "--name", "watcher", "--network", "none", "busybox", "sh", "-c", f"({watch}) 2> /dev/null")
    for _ in range(15):
        assert labkit("exec", "watcher", "sh", "-c", "exit 3", check=False).returncode == 3
    assert labkit("exec", "watcher", "sleep", "0.5").returncode == 0
    seen = set(labkit("logs", "watcher").stdout.split("\n"))
    assert "/bin/busybox" in seen, "the watcher has seen nobody at all"
    assert {line for line in seen if "python" in line or line == "written"} == set()
    labkit("rm", "-f", "watcher")


def test_the_working_directory_is_no_descriptor_of_the_runtime(bundle: Bundle) -> None:
    """CVE-2024-21626: a descriptor of a directory of the host, and a working directory that goes through it."""
    for number in range(3, 16):
        for way in ("/proc/self/fd", "/proc/1/fd"):
            bundle.config["process"]["cwd"] = f"{way}/{number}"
            assert f"{way}/{number}" in bundle.refusal()


def test_processes_outside_get_no_signal(bundle: Bundle) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as outside:
        try:
            said = bundle.run(f"kill -9 {outside.pid} && echo killed; trap '' TERM; kill -TERM -1; echo end")
            assert said.splitlines()[-1] == "end"
            assert "killed" not in said
            time.sleep(0.2)
            assert outside.poll() is None
        finally:
            outside.kill()


def test_nobody_outside_is_traced_or_read(bundle: Bundle) -> None:
    """Not even with the right to trace: what is not in the pid namespace has no number there (ptrace(2), ESRCH)."""
    more = [*defaults.CAPABILITIES, "CAP_SYS_PTRACE"]
    bundle.config["process"]["capabilities"] = {"bounding": more, "permitted": more, "effective": more}
    for name in ("lib", "lib64"):
        (bundle.rootfs / name).symlink_to(f"usr/{name}")
    bundle.mount("/usr", "bind", "/usr", "rbind", "ro")
    code = (
        "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True);"
        f"print(c.ptrace(16, {os.getpid()}, 0, 0), errno.errorcode[ctypes.get_errno()])"
    )
    done = bundle.execute(["/usr/bin/python3", "-I", "-S", "-c", code])
    assert done.stdout == "-1 ESRCH\n", done.stderr
    assert bundle.run(f"ls -d /proc/{os.getpid()} || echo none").strip() == "none"
