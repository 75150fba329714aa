"""Profiles of system calls, as the kernel takes them: every action and comparison, with a call that a shell makes."""

from __future__ import annotations

import errno
import glob
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle
from programs import LABKIT_OCI

from labkit.runtime.oci import default_seccomp, defaults

LIBRARIES = glob.glob("/usr/lib/*/libseccomp.so.2")
needs_library = pytest.mark.skipif(not LIBRARIES, reason="there is no libseccomp.so.2 (Debian's libseccomp2)")

#: Signals that a shell does not mind to get: CHLD, CONT, URG and WINCH.
HARMLESS = (17, 18, 23, 28)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


def _profile(bundle: Bundle, *rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **more: Any) -> None:
    bundle.config["linux"]["seccomp"] = {"defaultAction": default, "syscalls": list(rules), **more}


def _mkdir(action: str, **more: Any) -> dict[str, Any]:
    return {"names": ["mkdir", "mkdirat"], "action": action, **more}


@needs_library
@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("user", [0, 1000])
def test_a_call_fails_with_the_number_that_is_said(bundle: Bundle, no_new_privileges: bool, user: int) -> None:
    _profile(
        bundle,
        _mkdir("SCMP_ACT_ERRNO", errnoRet=errno.EOWNERDEAD),
        {"names": ["no_such_call"], "action": "SCMP_ACT_KILL"},
    )
    bundle.config["process"].update(noNewPrivileges=no_new_privileges, user={"uid": user, "gid": 0})
    output = bundle.run("mkdir /tmp/x 2>&1; grep -e Seccomp: -e NoNewPrivs /proc/self/status")
    assert os.strerror(errno.EOWNERDEAD) in output
    assert "Seccomp:\t2" in output
    assert f"NoNewPrivs:\t{int(no_new_privileges)}" in output


@needs_library
def test_the_number_is_eperm_where_none_is_said(bundle: Bundle) -> None:
    _profile(bundle, _mkdir("SCMP_ACT_ERRNO"))
    assert "Operation not permitted" in bundle.run("mkdir /tmp/x 2>&1; true")


@needs_library
@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
def test_a_call_kills(bundle: Bundle, action: str) -> None:
    _profile(bundle, _mkdir(action))
    assert bundle.run("mkdir /tmp/x; echo $?").strip() == str(128 + signal.SIGSYS)


@needs_library
def test_a_call_that_a_tracer_would_answer_is_none_without_one(bundle: Bundle) -> None:
    _profile(bundle, _mkdir("SCMP_ACT_TRACE", errnoRet=5))
    assert "Function not implemented" in bundle.run("mkdir /tmp/x 2>&1; true")


@needs_library
def test_a_call_is_logged_and_let_through(bundle: Bundle) -> None:
    _profile(bundle, _mkdir("SCMP_ACT_LOG"), flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])
    assert bundle.run("mkdir /tmp/x && ls /tmp").split() == ["x"]


@needs_library
@pytest.mark.parametrize(
    ("operator", "values", "refused"),
    [
        ("SCMP_CMP_EQ", {"value": 18}, {18}),
        ("SCMP_CMP_NE", {"value": 18}, {17, 23, 28}),
        ("SCMP_CMP_LT", {"value": 18}, {17}),
        ("SCMP_CMP_LE", {"value": 18}, {17, 18}),
        ("SCMP_CMP_GE", {"value": 18}, {18, 23, 28}),
        ("SCMP_CMP_GT", {"value": 18}, {23, 28}),
        ("SCMP_CMP_MASKED_EQ", {"value": 2, "valueTwo": 2}, {18, 23}),
    ],
)
def test_an_argument_is_compared(bundle: Bundle, operator: str, values: dict[str, int], refused: set[int]) -> None:
    argument = {"index": 1, "op": operator, **values}
    _profile(bundle, {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [argument]})
    assert _refused_signals(bundle) == refused


@needs_library
def test_all_conditions_hold_and_those_on_one_argument_are_alternatives(bundle: Bundle) -> None:
    """kill(2)'s first argument is the shell, pid 1 of its namespace."""
    one, eighteen = ({"index": index, "op": "SCMP_CMP_EQ", "value": value} for index, value in ((0, 1), (1, 18)))
    rule = {"names": ["kill"], "action": "SCMP_ACT_ERRNO"}
    _profile(bundle, {**rule, "args": [one, eighteen]})
    assert _refused_signals(bundle) == {18}
    _profile(bundle, {**rule, "args": [{**one, "value": 2}, eighteen]})
    assert _refused_signals(bundle) == set()
    _profile(bundle, {**rule, "args": [eighteen, {**eighteen, "value": 23}]})
    assert _refused_signals(bundle) == {18, 23}


def _refused_signals(bundle: Bundle) -> set[int]:
    script = f"for n in {' '.join(map(str, HARMLESS))}; do kill -$n $$ 2> /dev/null || echo $n; done"
    return {int(word) for word in bundle.run(script).split()}


@needs_library
def test_a_list_of_what_is_allowed(bundle: Bundle) -> None:
    """The engine's default profile, which is docker's: a shell works under it, and mount(2) does not."""
    more = [*defaults.CAPABILITIES, "CAP_SYS_ADMIN"]
    bundle.config["process"]["capabilities"] = {"bounding": more, "permitted": more, "effective": more}
    assert bundle.run("unshare -u true && echo made").strip() == "made", (
        "it has the right, so the profile has to refuse"
    )
    bundle.config["linux"]["seccomp"] = default_seccomp.profile(defaults.CAPABILITIES)
    output = bundle.run("mkdir /tmp/x && echo made; mount -t tmpfs x /tmp 2>&1; unshare -u true 2>&1; id -u")
    first, mount, unshare, last = output.splitlines()
    assert (first, last) == ("made", "0")
    assert "permission denied" in mount
    assert "Operation not permitted" in unshare


@needs_library
def test_a_call_that_is_younger_than_the_profile_is_not_there(bundle: Bundle) -> None:
    """ENOSYS, for which the C library has an answer; what the profile could have named is EPERM."""
    bundle.mount("/usr", "bind", "/usr", "rbind", "ro")
    for name in ("lib", "lib64"):
        if os.path.islink(f"/{name}"):
            (bundle.rootfs / name).symlink_to(os.readlink(f"/{name}"))
        else:
            bundle.mount(f"/{name}", "bind", f"/{name}", "rbind", "ro")
    bundle.config["linux"]["seccomp"] = default_seccomp.profile([])
    code = "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
    unshare = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
    code += f"print([(c.syscall(n, 0, 0, 0, 0), ctypes.get_errno())[1] for n in (1000, {unshare}, 999999)])"
    done = bundle.execute(["/usr/bin/python3", "-I", "-S", "-c", code])
    assert done.stdout.strip() == "[38, 1, 38]", done.stderr


@needs_library
def test_what_is_not_named_is_refused_and_nothing_runs(bundle: Bundle) -> None:
    _profile(bundle, _mkdir("SCMP_ACT_NOTIFY"))
    assert "does not support SCMP_ACT_NOTIFY" in bundle.refusal()


def test_without_libseccomp_a_profile_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """The library is covered in a mount namespace of the runtime's own."""
    _profile(bundle, _mkdir("SCMP_ACT_ERRNO"))
    bundle.config["process"]["args"] = ["echo", "reached"]
    (bundle.directory / "config.json").write_text(json.dumps(bundle.config))
    covers = [f"mount --bind /dev/null {os.path.realpath(library)}" for library in LIBRARIES]
    script = " && ".join([*covers, 'exec "$@"'])
    command = [*LABKIT_OCI, "--root", str(tmp_path / "state"), "run", "--bundle", str(bundle.directory), "without"]
    words = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "there is no libseccomp here" in done.stderr
