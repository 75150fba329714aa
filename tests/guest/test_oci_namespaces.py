"""Namespaces of every kind, new and joined, their id mappings, offsets and kernel parameters."""

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
from conftest import wait_for
from programs import LABKIT_OCI, PROGRAMS
from runtime import Runtime

KINDS = {"pid": "pid", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "network": "net", "user": "user"}


@pytest.fixture
def bundle() -> Iterator[Bundle]:
    """Where the root of a user namespace can reach it, who cannot reach pytest's own directories."""
    with tempfile.TemporaryDirectory(prefix="labkit-bundle-") as place:
        os.chmod(place, 0o755)
        yield Bundle(Path(place, "bundle"))


@pytest.fixture
def holder() -> Iterator[int]:
    """A process in namespaces of its own, a user namespace among them."""
    words = "unshare --user --map-root-user --net --uts --ipc --pid --fork --kill-child sleep 600".split()
    with subprocess.Popen(words) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            assert wait_for(lambda: children.read_text().split())
            child = int(children.read_text().split()[0])
            assert wait_for(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
            yield child
        finally:
            process.kill()


def _links(text: str) -> dict[str, str]:
    """From ``ls -l /proc/self/ns``: kind -> ``kind:[number]``."""
    return {line.split()[-3]: line.split()[-1] for line in text.splitlines() if "->" in line}


def _of(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def _join(bundle: Bundle, kind: str, path: str) -> None:
    spaces = [space for space in bundle.config["linux"]["namespaces"] if space["type"] != kind]
    bundle.config["linux"]["namespaces"] = [*spaces, {"type": kind, "path": path}]


def _add(bundle: Bundle, kind: str, **more: Any) -> None:
    bundle.config["linux"]["namespaces"].append({"type": kind})
    bundle.config["linux"].update(more)


def test_all_are_new(bundle: Bundle) -> None:
    bundle.in_user_namespace()
    links = _links(bundle.run("ls -l /proc/self/ns"))
    assert {kind for kind in KINDS.values() if links[kind] == _of("self", kind)} == set()


def test_those_that_are_not_asked_for_are_the_hosts(bundle: Bundle) -> None:
    for kind in ("ipc", "uts", "cgroup", "network"):
        bundle.without(kind)
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] in ("proc", "tmpfs")]
    links = _links(bundle.run("ls -l /proc/self/ns"))
    same = {kind for kind in ("ipc", "uts", "cgroup", "net", "user") if links[kind] == _of("self", kind)}
    assert same == {"ipc", "uts", "cgroup", "net", "user"}


def test_namespaces_are_joined_by_their_paths(bundle: Bundle, holder: int) -> None:
    for kind in ("network", "uts", "ipc"):
        _join(bundle, kind, f"/proc/{holder}/ns/{KINDS[kind]}")
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] not in ("mqueue", "sysfs")]
    links = _links(bundle.run("ls -l /proc/self/ns"))
    for kind in ("net", "uts", "ipc"):
        assert links[kind] == _of(holder, kind)
    assert links["user"] == _of("self", "user")


def test_a_pid_namespace_is_joined(bundle: Bundle, holder: int) -> None:
    _join(bundle, "pid", f"/proc/{holder}/ns/pid")
    output = bundle.run("ls -l /proc/self/ns; echo pid $$; cat /proc/1/comm")
    assert _links(output)["pid"] == _of(holder, "pid")
    assert "pid 1\n" not in output
    assert output.endswith("sleep\n")


def test_no_module_is_taken_from_a_mount_namespace_that_is_joined(bundle: Bundle, tmp_path: Path) -> None:
    """Where the host has labkit's own files, somebody else's root may have others."""
    [directory] = PROGRAMS.parent.rglob("labkit/runtime/oci")
    trap, caught = tmp_path / "trap.py", tmp_path / "caught"
    trap.write_text(f"open({str(caught)!r}, 'w')")
    ready = tmp_path / "ready"
    lines = [f"mount --bind {trap} {directory}/{name}.py" for name in ("root/copyup", "hooks")]
    lines += [f"mount -t tmpfs none {place}/__pycache__" for place in (directory, directory / "root")]
    script = " && ".join([*lines, f"touch {ready}", "exec sleep 600"])
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", script]) as process:
        try:
            assert wait_for(ready.exists)
            _join(bundle, "mount", f"/proc/{process.pid}/ns/mnt")
            bundle.mount("/tmp", "tmpfs", "none", "tmpcopyup")
            hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {bundle.rootfs}/tmp/hooked"]}
            bundle.config["hooks"] = {"createContainer": [hook]}
            (bundle.rootfs / "tmp/was-there").touch()
            assert bundle.run("ls /tmp").split() == ["hooked", "was-there"]
        finally:
            process.kill()
    assert not caught.exists()


def test_a_user_namespace_is_joined_with_those_that_belong_to_it(bundle: Bundle, holder: int) -> None:
    for kind in ("user", "network", "uts"):
        _join(bundle, kind, f"/proc/{holder}/ns/{KINDS[kind]}")
    bundle.config["mounts"] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
    output = bundle.run("ls -l /proc/self/ns; cat /proc/self/uid_map")
    for kind in ("user", "net", "uts"):
        assert _links(output)[kind] == _of(holder, kind)
    assert output.splitlines()[-1].split() == ["0", "0", "1"]


def test_a_new_user_namespace_beside_a_joined_network_of_the_host(bundle: Bundle) -> None:
    _join(bundle, "network", "/proc/self/ns/net")
    bundle.in_user_namespace()
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "sysfs"]
    links = _links(bundle.run("ls -l /proc/self/ns"))
    assert links["net"] == _of("self", "net")
    assert links["user"] != _of("self", "user")


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("network", "/proc/self/ns/uts", "/proc/self/ns/uts is no net namespace"),
        ("user", "/proc/self/ns/uts", "/proc/self/ns/uts is no user namespace"),
        ("uts", "/etc/passwd", "/etc/passwd is no uts namespace"),
        ("pid", "/no/such", "/no/such cannot be opened"),
    ],
)
def test_a_path_must_be_of_a_namespace_of_its_kind(bundle: Bundle, kind: str, path: str, words: str) -> None:
    _join(bundle, kind, path)
    assert words in bundle.refusal()


def test_root_in_a_user_namespace_is_nobody_outside(bundle: Bundle) -> None:
    bundle.in_user_namespace()
    bundle.config["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/etc", "options": ["bind"]})
    output = bundle.run(
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /mnt/passwd; touch /mnt/x 2>&1; touch /mine"
    )
    lines = output.splitlines()
    assert [line.split() for line in lines[:2]] == [["0", "100000", "65536"]] * 2
    assert lines[2:4] == ["0", "65534"]
    assert "Permission denied" in lines[4]
    assert (bundle.rootfs / "mine").stat().st_uid == 100000


def test_a_user_that_is_not_mapped_is_refused(bundle: Bundle) -> None:
    bundle.in_user_namespace()
    bundle.config["process"]["user"] = {"uid": 70000, "gid": 0}
    assert "cannot become user 70000" in bundle.refusal()


def test_maps_that_overlap_are_refused(bundle: Bundle) -> None:
    bundle.in_user_namespace()
    bundle.config["linux"]["uidMappings"] *= 2
    assert "_map cannot be written" in bundle.refusal()


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="this kernel has no time namespaces (Linux 5.6)")
@pytest.mark.parametrize("with_user", [False, True])
def test_clocks_are_shifted(bundle: Bundle, with_user: bool) -> None:
    if with_user:
        bundle.in_user_namespace()
    offsets = {"boottime": {"secs": 1_000_000, "nanosecs": 5}, "monotonic": {"secs": 77}}
    _add(bundle, "time", timeOffsets=offsets)
    output = bundle.run("cat /proc/uptime; ls -l /proc/self/ns; cat /proc/self/timens_offsets")
    up = float(Path("/proc/uptime").read_text().split()[0])
    assert abs(float(output.split()[0]) - up - 1_000_000) < 60
    assert _links(output)["time"] != _of("self", "time")
    assert [line.split() for line in output.splitlines()[-2:]] == [
        ["monotonic", "77", "0"],
        ["boottime", "1000000", "5"],
    ]


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="this kernel has no time namespaces (Linux 5.6)")
def test_a_clock_before_its_start_is_refused(bundle: Bundle) -> None:
    _add(bundle, "time", timeOffsets={"boottime": {"secs": -(1 << 40)}})
    assert "timens_offsets cannot be written" in bundle.refusal()


def test_parameters_and_names_are_the_containers_own(bundle: Bundle) -> None:
    bundle.config.update(hostname="inside", domainname="example")
    parameters = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shmmax": "123456", "fs.mqueue.msg_max": "11"}
    bundle.config["linux"]["sysctl"] = parameters
    places = [f"/proc/sys/{name.replace('.', '/')}" for name in parameters]
    before = [Path(place).read_text() for place in places]
    output = bundle.run(f"cat {' '.join(places)}; hostname; cat /proc/sys/kernel/domainname")
    assert output.split() == ["80", "123456", "11", "inside", "example"]
    assert [Path(place).read_text() for place in places] == before
    assert os.uname().nodename != "inside"


def test_parameters_in_a_user_namespace(bundle: Bundle) -> None:
    bundle.in_user_namespace()
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ping_group_range": "0 0"}
    assert bundle.run("cat /proc/sys/net/ipv4/ping_group_range").split() == ["0", "0"]


@pytest.mark.parametrize("parameter", ["net.ipv4.no_such_thing", "net.core"])
def test_a_parameter_that_is_not_there(bundle: Bundle, parameter: str) -> None:
    bundle.config["linux"]["sysctl"] = {parameter: "1"}
    assert f"sysctl {parameter}=1" in bundle.refusal()


def test_a_value_that_the_kernel_does_not_take(bundle: Bundle) -> None:
    bundle.config["linux"]["sysctl"] = {"kernel.shmmni": "many"}
    assert "sysctl kernel.shmmni=many: Invalid argument" in bundle.refusal()


def test_a_user_namespace_is_made_by_create_and_its_program_by_start(bundle: Bundle, tmp_path: Path) -> None:
    """What is taken along for the way in is there although the process lets go of all that it could wait with."""
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed/text").write_text("taken along\n")
    bundle.in_user_namespace()
    bundle.mount("/text", "bind", str(tmp_path / "closed/text"), "bind", "ro")
    bundle.config["process"]["args"] = ["sh", "-c", "cat /text; ls /proc/self/fd; cat /proc/self/uid_map"]
    (bundle.directory / "config.json").write_text(json.dumps(bundle.config))
    runtime = [*LABKIT_OCI, "--root", str(tmp_path / "state")]
    said = tmp_path / "said"
    with said.open("w") as output:
        create = [*runtime, "create", "--bundle", str(bundle.directory), "mapped"]
        subprocess.run(create, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True, timeout=60)
    subprocess.run([*runtime, "start", "mapped"], check=True, timeout=60)
    assert wait_for(lambda: "100000" in said.read_text()), said.read_text()
    assert said.read_text().split() == ["taken", "along", "0", "1", "2", "3", "0", "100000", "65536"]
    assert wait_for(lambda: '"stopped"' in _output([*runtime, "state", "mapped"]))
    subprocess.run([*runtime, "delete", "mapped"], check=True, timeout=60)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_user_namespace_without_a_root(open_place: Path) -> None:
    """Its maps have one user, who is not 0; all that is made for the container is his."""
    oci = Runtime(open_place)
    oci.bundle.in_user_namespace()
    ids = [{"containerID": 1000, "hostID": 100000, "size": 1}]
    oci.bundle.config["linux"].update(uidMappings=ids, gidMappings=ids)
    oci.process["user"] = {"uid": 1000, "gid": 1000}
    devpts = next(mount for mount in oci.bundle.config["mounts"] if mount["type"] == "devpts")
    devpts["options"].remove("gid=5")
    oci.runs("stat -c %u:%g /dev /dev/shm; echo made > /file; exec sleep 1000")
    oci.make("--detach", command="run")
    assert oci("exec", oci.id, "id", "-u") == "1000\n"
    assert wait_for(lambda: (oci.bundle.rootfs / "file").exists())
    assert oci.output() == "1000:1000\n1000:1000\n"
    oci.clean_up()
