"""What a process of a container is and may: user, groups, capabilities, limits, and how it is found and executed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle
from programs import LABKIT_OCI


@pytest.fixture
def bundle() -> Iterator[Bundle]:
    """Where the root of a user namespace can reach it, who cannot reach pytest's own directories."""
    with tempfile.TemporaryDirectory(prefix="labkit-bundle-") as place:
        os.chmod(place, 0o755)
        yield Bundle(Path(place, "bundle"))


def _set(bundle: Bundle, **properties: Any) -> None:
    bundle.config["process"].update(properties)


def _status(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _mask(*numbers: int) -> str:
    return f"{sum(1 << number for number in numbers):016x}"


CHOWN, KILL, NET_RAW = 0, 5, 13


def test_user_groups_and_umask(bundle: Bundle) -> None:
    _set(bundle, user={"uid": 1000, "gid": 100, "additionalGids": [7, 8], "umask": 0o027})
    status = _status(bundle.run("cat /proc/self/status; umask >&2"))
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["100"] * 4
    assert status["Groups"].split() == ["7", "8"]
    assert status["Umask"] == "0027"


def test_without_groups_none_of_the_hosts_is_left(bundle: Bundle) -> None:
    status = _status(bundle.run("cat /proc/self/status"))
    assert status["Groups"] == ""
    assert status["Umask"] == "0022"


def test_five_sets_of_capabilities(bundle: Bundle) -> None:
    sets = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_KILL"]}
    sets |= {"effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
    _set(bundle, user={"uid": 1000, "gid": 100}, capabilities=sets)
    status = _status(bundle.run("cat /proc/self/status"))
    assert status["CapBnd"] == _mask(CHOWN, KILL, NET_RAW)
    assert status["CapInh"] == status["CapAmb"] == status["CapPrm"] == status["CapEff"] == _mask(KILL)


def test_root_has_what_is_in_the_bounding_set_and_nothing_without_one(bundle: Bundle) -> None:
    _set(bundle, capabilities={"bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]})
    status = _status(bundle.run("cat /proc/self/status"))
    assert status["CapBnd"] == status["CapPrm"] == status["CapEff"] == _mask(CHOWN)
    _set(bundle, capabilities=None)
    status = _status(bundle.run("cat /proc/self/status"))
    assert {status[name] for name in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")} == {_mask()}


def test_a_capability_that_cannot_be_granted_is_left_out(bundle: Bundle) -> None:
    """One that no kernel has, and ambient ones that are not inheritable (config.md, "capabilities")."""
    sets = {name: ["CAP_CHOWN", "CAP_FLY"] for name in ("bounding", "permitted", "effective")}
    _set(bundle, capabilities={**sets, "ambient": ["CAP_CHOWN", "CAP_FLY"]})
    status = _status(bundle.run("cat /proc/self/status"))
    assert status["CapBnd"] == _mask(CHOWN)
    assert status["CapAmb"] == _mask()


def test_limits(bundle: Bundle) -> None:
    limits = [
        {"type": "RLIMIT_NOFILE", "soft": 33, "hard": 44},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_FSIZE", "soft": 1 << 20, "hard": (1 << 64) - 1},
    ]
    _set(bundle, rlimits=limits, user={"uid": 1000, "gid": 100})
    lines = bundle.run("cat /proc/self/limits").splitlines()
    found = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert found["Max open files"] == ["33", "44"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max file size"] == ["1048576", "unlimited"]


def test_a_hard_limit_that_may_not_be_raised_is_an_error(bundle: Bundle) -> None:
    maximum = int(Path("/proc/sys/fs/nr_open").read_text())
    _set(bundle, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 5, "hard": maximum + 1}])
    assert "prlimit(RLIMIT_NOFILE" in bundle.refusal()


def test_no_new_privileges(bundle: Bundle) -> None:
    assert "NoNewPrivs:\t0" in bundle.run("cat /proc/self/status")
    _set(bundle, noNewPrivileges=True)
    assert "NoNewPrivs:\t1" in bundle.run("cat /proc/self/status")


def test_the_score_of_the_one_to_kill_first(bundle: Bundle) -> None:
    ours = Path("/proc/self/oom_score_adj").read_text().strip()
    assert bundle.run("cat /proc/self/oom_score_adj").strip() == ours
    _set(bundle, oomScoreAdj=500)
    assert bundle.run("cat /proc/self/oom_score_adj").strip() == "500"
    bundle.in_user_namespace()
    assert bundle.run("cat /proc/self/oom_score_adj").strip() == "500"


def test_home_is_that_of_the_containers_user(bundle: Bundle) -> None:
    (bundle.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n")
    assert bundle.run("echo $HOME").strip() == "/root"
    _set(bundle, user={"uid": 1000, "gid": 100})
    assert bundle.run("echo $HOME").strip() == "/home/ann"
    _set(bundle, user={"uid": 7, "gid": 100})
    assert bundle.run("echo $HOME").strip() == "/"
    _set(bundle, env=["PATH=/bin", "HOME=/mine"])
    assert bundle.run("echo $HOME").strip() == "/mine"


def test_a_passwd_that_nobody_writes_to_does_not_stop_us(bundle: Bundle) -> None:
    os.mkfifo(bundle.rootfs / "etc/passwd")
    assert bundle.run("echo $HOME").strip() == "/"


def test_the_program_is_looked_for_in_the_containers_path(bundle: Bundle) -> None:
    (bundle.rootfs / "other").mkdir()
    for place, word in (("other", "first"), ("bin", "second")):
        (bundle.rootfs / place / "say").write_text(f"#!/bin/sh\necho {word}\n")
    (bundle.rootfs / "bin/say").chmod(0o755)
    _set(bundle, env=["PATH=/nowhere:/other:/bin"])
    assert bundle.execute(["say"]).stdout == "second\n", "a file without the right to execute was taken"
    (bundle.rootfs / "other/say").chmod(0o755)
    assert bundle.execute(["say"]).stdout == "first\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nosuch", 'exec: "nosuch": executable file not found in $PATH'),
        ("/bin/nosuch", 'exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory'),
        ("/etc", 'exec: "/etc": is a directory'),
        ("/etc/text", 'exec: "/etc/text": permission denied'),
        ("/etc/text/x", "not a directory"),
        ("/bin/words", "exec /bin/words: exec format error"),
        ("/bin/lost", "exec /bin/lost: no such file or directory"),
        ("", 'exec: "": executable file not found in $PATH'),
    ],
)
def test_what_cannot_be_executed_is_said_in_runcs_words(bundle: Bundle, program: str, words: str) -> None:
    (bundle.rootfs / "etc/text").write_text("text\n")
    for name, text in (("words", "only words\n"), ("lost", "#!/no/such/interpreter\n")):
        (bundle.rootfs / "bin" / name).write_text(text)
        (bundle.rootfs / "bin" / name).chmod(0o755)
    done = bundle.execute([program])
    assert done.returncode != 0
    assert words in done.stderr.replace('\\"', '"')
    assert "Traceback" not in done.stderr


def test_a_program_that_only_root_may_execute(bundle: Bundle) -> None:
    (bundle.rootfs / "bin/roots").write_text("#!/bin/sh\necho reached\n")
    (bundle.rootfs / "bin/roots").chmod(0o700)
    assert bundle.execute(["/bin/roots"]).stdout == "reached\n"
    _set(bundle, user={"uid": 1000, "gid": 100}, capabilities=None)
    assert 'exec: "/bin/roots": permission denied' in bundle.execute(["/bin/roots"]).stderr.replace('\\"', '"')


@pytest.mark.parametrize("cwd", ["/etc/text", "/proc/self/fd/0/x"])
def test_a_working_directory_that_is_none(bundle: Bundle, cwd: str) -> None:
    (bundle.rootfs / "etc/text").write_text("text\n")
    _set(bundle, cwd=cwd)
    assert cwd in bundle.refusal()


def test_only_the_user_may_enter_his_directory(bundle: Bundle) -> None:
    """Root without CAP_DAC_OVERRIDE in a user namespace is not needed for that: a directory of mode 0700 of his."""
    (bundle.rootfs / "his").mkdir(mode=0o700)
    os.chown(bundle.rootfs / "his", 1000, 100)
    _set(bundle, cwd="/his", user={"uid": 1000, "gid": 100})
    assert bundle.run("pwd; touch here").strip() == "/his"
    assert (bundle.rootfs / "his/here").stat().st_uid == 1000


def test_standard_output_can_be_opened_by_the_user(bundle: Bundle) -> None:
    _set(bundle, user={"uid": 1000, "gid": 100})
    assert bundle.run("echo again > /proc/self/fd/1") == "again\n"


def test_a_domain_of_32_bits(bundle: Bundle) -> None:
    machine = os.uname().machine
    assert bundle.run("uname -m").strip() == machine
    bundle.config["linux"]["personality"] = {"domain": "LINUX32"}
    assert bundle.run("cat /proc/self/personality").strip() == "00000008"
    if machine == "x86_64":
        assert bundle.run("uname -m").strip() == "i686"


def test_no_signal_is_blocked_or_ignored(bundle: Bundle) -> None:
    status = _status(bundle.execute(["grep", "-e", "SigBlk", "-e", "SigIgn", "/proc/self/status"]).stdout)
    assert status == {"SigBlk": _mask(), "SigIgn": _mask()}


def test_nothing_but_the_three_descriptors_is_open(bundle: Bundle) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    try:
        assert set(bundle.run("ls /proc/self/fd").split()) == {"0", "1", "2", "3"}, "the fourth is ls's own"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_second_process_has_its_own_limits_and_the_containers_namespaces(bundle: Bundle) -> None:
    """Also where the user namespace would not let it raise a limit or lower the score any more."""
    bundle.in_user_namespace()
    state = ["--root", str(bundle.directory / "state")]
    first = bundle.config["process"]
    first["args"] = ["sleep", "100"]
    (bundle.directory / "config.json").write_text(json.dumps(bundle.config))
    second = {
        **first,
        "args": ["sh", "-c", "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/self/uid_map; id -u"],
    }
    second |= {"user": {"uid": 5, "gid": 6}, "oomScoreAdj": 700}
    second["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 21, "hard": 22}]
    (bundle.directory / "second.json").write_text(json.dumps(second))
    with (bundle.directory / "said").open("w") as said:
        words = [*LABKIT_OCI, *state, "create", "--bundle", str(bundle.directory), "two"]
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=True, timeout=60)
    try:
        subprocess.run([*LABKIT_OCI, *state, "start", "two"], check=True, timeout=60)
        words = [*LABKIT_OCI, *state, "exec", "--process", str(bundle.directory / "second.json"), "two"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.split() == ["21", "22", "700", "0", "100000", "65536", "5"], done.stderr
    finally:
        subprocess.run([*LABKIT_OCI, *state, "delete", "--force", "two"], check=True, timeout=60)
