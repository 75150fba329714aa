"""What run's flags make of a container, seen from inside it and through /proc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import layered
import pytest
from conftest import labkit

pytestmark = pytest.mark.root

QUICK = ("run", "--rm", "--network", "none")


def inside(*flags: str, script: str) -> str:
    """What a shell in a container with these flags prints."""
    return labkit(*QUICK, *flags, "busybox", "sh", "-c", script).stdout


def status(*flags: str) -> dict[str, str]:
    """/proc/self/status of its first process."""
    lines = labkit(*QUICK, *flags, "busybox", "cat", "/proc/self/status").stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_default_is_a_filter_and_few_capabilities() -> None:
    found = status()
    assert found["Seccomp"] == "2"
    assert int(found["CapEff"], 16) | 0xA80425FB == 0xA80425FB  # docker's default
    assert status("--security-opt", "seccomp=unconfined")["Seccomp"] == "0"


def test_capabilities_are_added_and_dropped() -> None:
    assert int(status("--cap-drop", "ALL")["CapBnd"], 16) == 0
    assert int(status("--cap-drop", "all", "--cap-add", "cap_net_raw")["CapEff"], 16) == 1 << 13
    assert not int(status("--cap-drop", "CHOWN")["CapEff"], 16) & 1
    assert status("--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"


def test_privileged_has_no_filter_all_devices_and_nothing_hidden() -> None:
    script = "grep -E 'Seccomp:|CapEff' /proc/self/status; ls /dev | wc -l; grep ' /sys ' /proc/mounts"
    seccomp_and_caps, ordinary = inside("--privileged", script=script).split(), inside(script=script).split()
    with open("/proc/self/status", encoding="ascii") as file:
        ours = next(line.split()[1] for line in file if line.startswith("CapBnd"))
    assert int(seccomp_and_caps[1], 16) == int(ours, 16)
    assert seccomp_and_caps[3] == "0"
    assert int(seccomp_and_caps[4]) >= int(ordinary[4])
    assert seccomp_and_caps[8].startswith("rw")
    assert ordinary[8].startswith("ro")


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    result = labkit(
        *QUICK, "--security-opt", f"seccomp={tmp_path}/profile.json", "busybox", "mkdir", "/tmp/x", check=False
    )
    assert result.returncode == 1
    assert "not permitted" in result.stderr


def test_the_user_and_his_groups() -> None:
    assert inside("--user", "1000:1001", "--group-add", "7", script="id -u; id -g; id -G").split() == [
        *("1000", "1001", "1001", "7"),
    ]
    assert inside("--user", "nobody", script="id -un").strip() == "nobody"
    refused = labkit(*QUICK, "--user", "nobody-like-that", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "unable to find user nobody-like-that" in refused.stderr


def test_what_the_image_says_holds_where_nothing_else_is_said(tmp_path: Path) -> None:
    said = {"User": "nobody:7", "WorkingDir": "/srv/made", "Env": ["A=image", "B=image"], "Entrypoint": ["sh", "-c"]}
    with layered.loaded(tmp_path, **said) as image:
        script = "id -un; id -g; pwd; echo $A $B"
        assert labkit(*QUICK, image, script).stdout.split() == ["nobody", "7", "/srv/made", "image", "image"]
        words = ("--user", "0", "-w", "/tmp", "-e", "B=mine")
        assert labkit(*QUICK, *words, image, script).stdout.split() == ["root", "0", "/tmp", "image", "mine"]
    with layered.loaded(tmp_path, User="who-is-that") as image:
        refused = labkit(*QUICK, image, "true", check=False)
        assert (refused.returncode, "unable to find user who-is-that" in refused.stderr) == (125, True)


def test_process_flags() -> None:
    assert inside("-w", "/a/b", script="pwd") == "/a/b\n"
    assert inside("--ulimit", "nofile=100:200", script="ulimit -Sn; ulimit -Hn").split() == ["100", "200"]
    assert inside("--oom-score-adj", "500", script="cat /proc/self/oom_score_adj") == "500\n"
    assert labkit(*QUICK, "--entrypoint", "echo", "busybox", "a").stdout == "a\n"
    assert inside("--init", script="cat /proc/1/comm; ls -l /proc/1/exe").split()[0] == "docker-init"


def test_files_of_variables_and_labels(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# a comment\nA=1 2\n\nB=3\n")
    assert inside("--env-file", f"{tmp_path}/env", "-e", "B=4", script="echo $A,$B") == "1 2,4\n"
    (tmp_path / "labels").write_text("x=1\ny=2\n")
    labkit("create", "--name", "named", "--label-file", f"{tmp_path}/labels", "-l", "y=3", "busybox", "true")
    assert json.loads(labkit("inspect", "named").stdout)[0]["options"]["labels"] == {"x": "1", "y": "3"}


def test_read_only_tmpfs_and_shared_memory() -> None:
    script = "touch /x 2>/dev/null || echo fixed; touch /t/x && df -k /t /dev/shm | awk 'NR>1 {print $2}'"
    assert inside("--read-only", "--tmpfs", "/t:size=1m", "--shm-size", "2m", script=script).split() == [
        *("fixed", "1024", "2048"),
    ]


def test_namespaces_are_the_machines_own_where_that_is_asked_for() -> None:
    for kind, flag in (("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroupns")):
        ours = os.readlink(f"/proc/self/ns/{kind}")
        assert inside(f"--{flag}", "host", script=f"readlink /proc/self/ns/{kind}").strip() == ours, kind
        assert inside(script=f"readlink /proc/self/ns/{kind}").strip() != ours, kind


def test_namespaces_of_another_container() -> None:
    labkit("run", "-d", "--network", "none", "--ipc", "shareable", "--name", "first", "busybox", "sleep", "100")
    pid = json.loads(labkit("inspect", "first").stdout)[0]["state"]["pid"]
    for kind in ("pid", "ipc"):
        script = f"readlink /proc/self/ns/{kind}"
        assert inside(f"--{kind}", "container:first", script=script).strip() == os.readlink(f"/proc/{pid}/ns/{kind}")
    assert "sleep" in inside("--pid", "container:first", script="ps -o comm")
    labkit("exec", "first", "sh", "-c", "echo shared > /dev/shm/file")
    assert inside("--ipc", "container:first", script="cat /dev/shm/file") == "shared\n"
    labkit("stop", "-t", "0", "first")
    refused = labkit(*QUICK, "--pid", "container:first", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "whose namespace is to be joined, is not running" in refused.stderr


def test_a_user_namespace_takes_roots_rights_out_here() -> None:
    assert inside("--userns", "private", script="readlink /proc/self/ns/user").strip() != os.readlink(
        "/proc/self/ns/user"
    )


def test_devices() -> None:
    script = "ls -l /dev/own | awk '{print $5 $6}'; head -c 3 /dev/own | wc -c"
    assert inside("--device", "/dev/zero:/dev/own:r", script=script).split() == ["1,5", "3"]


def test_kernel_parameters() -> None:
    assert inside("--sysctl", "kernel.shm_rmid_forced=1", script="cat /proc/sys/kernel/shm_rmid_forced") == "1\n"


def test_the_file_with_the_id(tmp_path: Path) -> None:
    made = labkit("create", "--cidfile", f"{tmp_path}/id", "busybox", "true").stdout.strip()
    assert (tmp_path / "id").read_text() == made
    refused = labkit("create", "--cidfile", f"{tmp_path}/id", "busybox", "true", check=False)
    assert refused.returncode == 125
    labkit("rm", made)
    assert not (tmp_path / "id").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cap-add", "FLYING"], "--cap-add FLYING names no capability"),
        (["--security-opt", "apparmor=mine"], "labkit does not support --security-opt apparmor=mine"),
        (["--security-opt", "seccomp=/no/file"], "--security-opt seccomp=/no/file cannot be read"),
        (["--ulimit", "nofile"], "--ulimit 'nofile' names no limit"),
        (["--ulimit", "nofile=2:1"], "the soft limit is above the hard one"),
        (["--stop-signal", "SIGNOT"], 'unknown signal "SIGNOT"'),
        (["--pid", "mine"], "--pid mine is not possible"),
        (["--pid", "container:nobody"], "nobody"),
        (["-v", "/a:/b:z"], "labkit does not support the option 'z'"),
        (["-v", "data:b"], "the place in the container must be an absolute path"),
        (["-v", "/:/"], "nothing can be mounted on the root"),
        (["--mount", "type=bind,source=/no/such,target=/x"], "there is no /no/such to be mounted on /x"),
        (["--mount", "type=floppy,target=/x"], "there is no type 'floppy'"),
        (["--tmpfs", "/x:colour=red"], "'colour=red' is no option"),
        (["--device", "/dev/none"], "/dev/none of --device is no device"),
        (["--device", "/etc/passwd"], "/etc/passwd of --device is no device"),
        (["--sysctl", "x"], "--sysctl 'x' names no value"),
        (["--env-file", "/no/file"], "--env-file /no/file cannot be read"),
        (["-w", "relative"], "is no absolute path"),
        (["--pull", "always"], "labkit fetches no images"),
        (["--device-write-bps", "/dev/null:1m"], "is no disk"),
        (["--oom-score-adj", "5000"], "--oom-score-adj 5000 is not possible"),
        (["--userns", "private", "--privileged"], "--userns private goes with neither"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_changes_nothing(words: list[str], sentence: str) -> None:
    result = labkit("run", "--network", "none", *words, "busybox", "true", check=False)
    assert result.returncode == 125, result.stderr
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_exec_as_another_user_with_more_rights_and_variables(tmp_path: Path) -> None:
    labkit("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "100")
    (tmp_path / "env").write_text("A=1\n")
    flags = ("-u", "nobody", "--env-file", f"{tmp_path}/env", "-e", "B=2")
    found = labkit("exec", *flags, "box", "sh", "-c", "id -un; echo $A $B; grep -E 'CapEff|Seccomp:' /proc/self/status")
    assert found.stdout.split() == ["nobody", "1", "2", "CapEff:", "0000000000000000", "Seccomp:", "2"]
    assert "nobody" not in labkit("exec", "box", "id").stdout
    privileged = labkit("exec", "--privileged", "box", "sh", "-c", "mount -t tmpfs none /mnt && echo done; umount /mnt")
    assert privileged.stdout == "done\n"
    assert labkit("exec", "box", "mount", "-t", "tmpfs", "none", "/mnt", check=False).returncode != 0
    refused = labkit("exec", "-u", "who", "box", "true", check=False)
    assert refused.returncode == 125
    assert "unable to find user who" in refused.stderr


def test_the_specification_that_a_run_would_use(tmp_path: Path) -> None:
    flags = ("--network", "none", "--memory", "64m", "--cap-drop", "ALL", "-u", "nobody", "-v", "data:/data")
    found = json.loads(labkit("spec", *flags, "busybox", "sh", "-c", "id -u").stdout)
    assert found["process"]["args"] == ["sh", "-c", "id -u"]
    assert found["linux"]["resources"]["memory"]["limit"] == 64 << 20
    assert found["process"]["capabilities"]["bounding"] == []
    assert not labkit("ps", "-aq").stdout
    assert not labkit("volume", "ls", "-q").stdout
    refused = labkit("spec", "--cap-add", "FLYING", "busybox", check=False)
    assert refused.stderr.startswith("labkit: --cap-add FLYING names no capability")


@pytest.mark.skipif(not shutil.which("runc"), reason="runc is not installed")
def test_runc_takes_the_specification_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", tmp_path / "rootfs/bin/busybox")
    os.symlink("busybox", tmp_path / "rootfs/bin/sh")
    flags = ("--network", "none", "--rootfs", f"{tmp_path}/rootfs")
    (tmp_path / "config.json").write_text(labkit("spec", *flags, "busybox", "sh", "-c", "echo made").stdout)
    done = subprocess.run(
        ["runc", "--root", f"{tmp_path}/state", "run", "--bundle", str(tmp_path), f"spec-{os.getpid()}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("made\n", 0), done.stderr
