"""Mounts of a bundle, read in the container's own mount table."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import Bundle, mount_line
from conftest import output

TABLE = "cat /proc/self/mountinfo"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host whose mounts travel."""
    place = tmp_path / "shared"
    place.mkdir()
    output("mount", "-t", "tmpfs", "none", str(place))
    output("mount", "--make-shared", str(place))
    yield place
    output("umount", "--recursive", str(place))


@pytest.mark.parametrize(
    ("kind", "options", "flags", "data"),
    [
        ("tmpfs", ["nosuid", "nodev", "mode=700", "size=64k"], {"rw", "nosuid", "nodev"}, {"mode=700", "size=64k"}),
        ("tmpfs", ["ro", "noexec"], {"ro", "noexec"}, set()),
        ("tmpfs", ["nodev", "dev", "ro", "rw", "noatime"], {"rw", "noatime"}, set()),
        ("tmpfs", ["nodiratime", "relatime", "nosymfollow"], {"nodiratime", "relatime", "nosymfollow"}, set()),
        ("tmpfs", ["sync", "dirsync", "lazytime"], set(), {"sync", "dirsync", "lazytime"}),
        ("tmpfs", ["sync", "async", "mand", "nomand", "silent", "loud", "strictatime"], {"rw"}, set()),
        ("mqueue", ["nosuid"], {"nosuid"}, set()),
        ("devpts", ["newinstance", "ptmxmode=0666", "gid=5"], set(), {"gid=5", "ptmxmode=666"}),
        ("sysfs", ["ro"], {"ro"}, set()),
    ],
)
def test_a_file_system_with_its_options(
    bundle: Bundle, kind: str, options: list[str], flags: set[str], data: set[str]
) -> None:
    bundle.mount("/new/place", kind, kind, *options)
    own, found, own_data = mount_line(bundle.run(TABLE), "/new/place")
    assert found == kind
    assert flags <= set(own)
    assert data <= set(own_data)
    assert not {"sync", "nodev"} & {*own, *own_data} - {*flags, *data}


def test_a_tmpfs_takes_over_the_mode_of_a_directory_that_is_there(bundle: Bundle) -> None:
    (bundle.rootfs / "kept").mkdir()
    os.chmod(bundle.rootfs / "kept", 0o1731)
    bundle.mount("/kept", "tmpfs", "tmpfs")
    bundle.mount("/fresh", "tmpfs", "tmpfs")
    bundle.mount("/given", "tmpfs", "tmpfs", "mode=0500")
    assert bundle.run("stat -c %a /kept /fresh /given").split() == ["1731", "1777", "500"]


def test_a_read_only_tmpfs_can_hold_what_is_mounted_in_it(bundle: Bundle) -> None:
    bundle.mount("/outer", "tmpfs", "tmpfs", "ro", "nosuid")
    bundle.mount("/outer/inner", "tmpfs", "tmpfs")
    script = "echo x > /outer/inner/x && cat /outer/inner/x; touch /outer/x || cat /proc/self/mountinfo"
    text, _, table = bundle.run(script).partition("\n")
    assert text == "x"
    assert {"ro", "nosuid"} <= set(mount_line(table, "/outer")[0])


def test_copy_up(bundle: Bundle) -> None:
    full = bundle.rootfs / "full"
    (full / "deep").mkdir(parents=True)
    (full / "deep/file").write_text("contents\n")
    (full / "link").symlink_to("deep/file")
    os.mkfifo(full / "pipe")
    os.chmod(full / "deep", 0o2770)
    os.chmod(full / "deep/file", 0o640)
    os.chown(full / "deep/file", 7, 8)
    os.utime(full / "deep/file", (1000, 1000))
    bundle.mount("/full", "tmpfs", "tmpfs", "tmpcopyup", "nodev")
    said = bundle.run(
        "cat /full/link; stat -c '%a %u %g %Y' /full/deep/file; stat -c %a /full/deep; readlink /full/link;"
        "test -p /full/pipe && echo pipe; echo more > /full/deep/file; rm /full/link; cat /proc/self/mountinfo"
    )
    assert said.splitlines()[:5] == ["contents", "640 7 8 1000", "2770", "deep/file", "pipe"]
    assert mount_line(said, "/full")[1] == "tmpfs"
    assert (full / "link").read_text() == "contents\n", "the root file system is as it was"


def test_a_bind_mount_and_its_flags(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("seen\n")
    bundle.mount("/a", "bind", str(tmp_path / "data"), "rbind", "ro", "nosuid", "noexec")
    bundle.mount("/b/c/file", "", str(tmp_path / "data/file"), "bind")
    (bundle.directory / "own").mkdir()
    bundle.mount("relative", "bind", "own", "bind")
    bundle.mount("/a/file", "bind", "/dev/null", "bind")
    table = bundle.run(f"cat /b/c/file; touch /relative/made; {TABLE}")
    assert table.splitlines()[0] == "seen"
    assert {"ro", "nosuid", "noexec"} <= set(mount_line(table, "/a")[0])
    assert "rw" in mount_line(table, "/b/c/file")[0]
    assert (bundle.directory / "own/made").exists()


def test_bind_takes_one_mount_and_rbind_the_tree(bundle: Bundle, shared: Path) -> None:
    (shared / "below").mkdir()
    output("mount", "-t", "tmpfs", "none", str(shared / "below"))
    bundle.mount("/one", "bind", str(shared), "bind")
    bundle.mount("/all", "bind", str(shared), "rbind")
    points = [line.split(" ")[4] for line in bundle.run(TABLE).splitlines()]
    assert "/all/below" in points
    assert "/one/below" not in points


def test_attributes_of_a_whole_tree(bundle: Bundle, shared: Path) -> None:
    (shared / "below").mkdir()
    output("mount", "-t", "tmpfs", "none", str(shared / "below"))
    bundle.mount("/flat", "bind", str(shared), "rbind", "ro")
    bundle.mount("/deep", "bind", str(shared), "rbind", "rro", "rnosuid", "rnoexec", "rnoatime")
    done = bundle.try_to_run(TABLE)
    if "came with Linux 5.12" in done.stderr:
        pytest.skip("no mount_setattr(2)")
    table = done.stdout
    assert "rw" in mount_line(table, "/flat/below")[0]
    for point in ("/deep", "/deep/below"):
        assert {"ro", "nosuid", "noexec", "noatime"} <= set(mount_line(table, point)[0])


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("shared", "shared:"),
        ("slave", "master:"),
        ("private", "-"),
        ("unbindable", "unbindable"),
        ("rslave", "master:"),
    ],
)
def test_propagation_of_a_mount(bundle: Bundle, shared: Path, word: str, fields: str) -> None:
    (shared / "below").mkdir()
    output("mount", "-t", "tmpfs", "none", str(shared / "below"))
    bundle.config["linux"]["rootfsPropagation"] = "shared"
    bundle.mount("/mnt", "bind", str(shared), "rbind", word)
    (line,) = [line for line in bundle.run(TABLE).splitlines() if line.split(" ")[4] == "/mnt"]
    assert line.split(" ")[6].startswith(fields)
    assert os.path.ismount(shared / "below"), "the old root went, and took the host's mount with it"


@pytest.mark.parametrize(
    ("word", "fields"),
    [("shared", "shared:"), ("rshared", "shared:"), ("private", "-"), ("rprivate", "-"), ("unbindable", "unbindable")],
)
def test_propagation_of_the_root(bundle: Bundle, word: str, fields: str) -> None:
    bundle.config["linux"]["rootfsPropagation"] = word
    line = bundle.run(TABLE).splitlines()[0]
    assert line.split(" ")[4] == "/"
    assert line.split(" ")[6].startswith(fields)


def test_a_slave_hears_of_the_hosts_mounts_and_tells_nothing(bundle: Bundle, shared: Path) -> None:
    """The container waits on a file for the mount to come; what it mounts itself stays its own."""
    (shared / "late").mkdir()
    (shared / "own").mkdir()
    bundle.config["process"]["capabilities"] = {
        name: [*members, "CAP_SYS_ADMIN"] for name, members in bundle.config["process"]["capabilities"].items()
    }
    bundle.mount("/mnt", "bind", str(shared), "rbind", "rslave")
    waiting = (
        "mount -t tmpfs none /mnt/own && touch /mnt/ready; n=0;"
        "until [ -e /mnt/late/come ] || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done; cat /mnt/late/come"
    )
    helper = (
        f"until [ -e {shared}/ready ]; do sleep 0.1; done; grep -c {shared}/own /proc/self/mountinfo;"
        f"mount -t tmpfs none {shared}/late && echo here > {shared}/late/come"
    )
    with subprocess.Popen(["sh", "-c", helper], stdout=subprocess.PIPE, text=True) as beside:
        assert bundle.run(waiting) == "here\n"
        assert beside.communicate(timeout=10)[0] == "0\n"


def test_in_a_user_namespace_flags_of_the_hosts_are_kept(open_place: Path) -> None:
    """They are locked (mount_namespaces(7)): a remount that names none of them keeps them, and one cannot go."""
    bundle = Bundle(open_place / "bundle")
    (open_place / "vol").mkdir()
    output("mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=755", "none", str(open_place / "vol"))
    try:
        bundle.in_user_namespace()
        bundle.mount("/vol", "bind", str(open_place / "vol"), "rbind", "ro")
        table = bundle.run(f"echo x > /dev/null && ls /dev/full && cat /proc/keys; {TABLE}")
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(mount_line(table, "/vol")[0])
        bundle.mount("/vol2", "bind", str(open_place / "vol"), "rbind", "ro", "exec")
        assert "the mount on /vol2 keeps its flags in a user namespace" in bundle.refusal()
    finally:
        output("umount", str(open_place / "vol"))


def test_in_a_user_namespace_a_source_is_taken_that_only_the_hosts_root_can_reach(open_place: Path) -> None:
    bundle = Bundle(open_place / "bundle")
    bundle.in_user_namespace()
    closed = open_place / "closed"
    (closed / "data/below").mkdir(parents=True)
    (closed / "file").write_text("seen\n")
    output("mount", "-t", "tmpfs", "none", str(closed / "data/below"))
    closed.chmod(0o700)
    try:
        bundle.mount("/a", "bind", str(closed / "data"), "rbind", "ro")
        bundle.mount("/b", "bind", str(closed / "data"), "bind")
        bundle.mount("/etc/file", "bind", str(closed / "file"), "bind", "rprivate")
        points = [line.split(" ")[4] for line in bundle.run(f"cat /etc/file; {TABLE}").splitlines()[1:]]
        assert {"/a", "/a/below", "/b", "/etc/file"} <= set(points)
        assert "/b/below" not in points
        bundle.mount("/c", "bind", str(closed / "missing"), "bind")
        assert "No such file" in bundle.refusal() or "Permission denied" in bundle.refusal()
    finally:
        output("umount", str(closed / "data/below"))


def test_remount(bundle: Bundle, tmp_path: Path) -> None:
    bundle.mount("/mnt", "tmpfs", "tmpfs", "nosuid")
    bundle.mount("/mnt", "", "", "remount", "bind", "ro", "nodev")
    bundle.mount("/other", "tmpfs", "tmpfs", "size=64k")
    bundle.mount("/other", "tmpfs", "tmpfs", "remount", "size=128k")
    table = bundle.run(TABLE)
    assert {"ro", "nodev"} <= set(mount_line(table, "/mnt")[0])
    assert "size=128k" in mount_line(table, "/other")[2]


def test_a_read_only_root_and_a_working_directory_that_is_missing(bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.config["process"]["cwd"] = "/a/new/place"
    said = bundle.run(f"pwd; touch /x || echo refused; touch /dev/shm/x && echo written; {TABLE}")
    assert said.splitlines()[:3] == ["/a/new/place", "refused", "written"]
    assert "ro" in mount_line(said, "/")[0]


def test_masked_and_read_only_paths(bundle: Bundle) -> None:
    for name in ("secret", "kept"):
        (bundle.rootfs / name).mkdir()
        (bundle.rootfs / name / "file").write_text("plain\n")
    (bundle.rootfs / "key").write_text("plain\n")
    linux = bundle.config["linux"]
    linux["maskedPaths"] = [*linux["maskedPaths"], "/secret", "/key", "/no-such/path"]
    linux["readonlyPaths"] = [*linux["readonlyPaths"], "/kept", "/not-there"]
    said = bundle.run(
        "ls /secret | wc -l; wc -c < /key; touch /secret/x || echo refused; cat /kept/file; touch /kept/x || echo no;"
        f"cat /proc/keys | wc -c; echo 1 > /proc/sys/kernel/sysrq || echo never; {TABLE}"
    )
    assert said.splitlines()[:7] == ["0", "0", "refused", "plain", "no", "0", "never"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(mount_line(said, "/proc/sys")[0])


def test_no_pivot_leaves_no_other_proc_in_the_table(bundle: Bundle) -> None:
    said = bundle.run(f"ls -d /host 2>&1; {TABLE}", "--no-pivot")
    assert mount_line(said, "/proc")[1] == "proc"
    assert len([line for line in said.splitlines() if " - proc " in line and " / /proc" in line]) == 1


def test_without_a_mount_namespace_the_host_is_as_before(bundle: Bundle) -> None:
    """_as_it_was compares the host's mounts afterwards."""
    bundle.without("mount")
    assert "busybox" in bundle.run("ls /bin; cat /proc/self/status")


def test_a_root_file_system_behind_a_link(bundle: Bundle) -> None:
    (bundle.directory / "link").symlink_to("rootfs")
    bundle.config["root"]["path"] = "link"
    assert "busybox" in bundle.run("ls /bin")


_ONE_WAY = """
import subprocess, sys
from labkit.runtime.cgroups.detect import here
from labkit.runtime.oci import plan, spec
from labkit.runtime.oci.root.newroot import PivotRoot
operations = plan.make(spec.load(sys.argv[1]), here()).init
operations = operations[: next(at for at, each in enumerate(operations) if isinstance(each, PivotRoot))]
if sys.argv[2] == "by calls":
    for operation in operations:
        operation.do()
else:
    lines = "\\n".join(operation.describe() for operation in operations)
    subprocess.run(["bash", "-euo", "pipefail"], input=lines, text=True, check=True)
print(open("/proc/self/mountinfo").read())
"""


def test_what_operations_say_is_what_they_do(bundle: Bundle, shared: Path) -> None:
    """The same plan twice, each in a mount namespace of its own: by system calls, and by bash as it is described."""
    (bundle.rootfs / "full").mkdir()
    (bundle.rootfs / "full/file").write_text("x")
    bundle.mount("/full", "tmpfs", "tmpfs", "tmpcopyup", "nodev", "rslave")
    bundle.mount("/a/b", "bind", str(shared), "rbind", "ro", "nosuid", "rslave")
    bundle.mount("/etc/null", "bind", "/dev/null", "bind", "mode=700")
    bundle.mount("/ro", "tmpfs", "tmpfs", "ro", "mode=750")
    bundle.mount("/ro/inner", "tmpfs", "tmpfs", "unbindable")
    bundle.mount("/full", "", "", "remount", "bind", "noexec")
    bundle.config["linux"]["devices"] = [{"path": "/x/pipe", "type": "p", "uid": 7}]
    bundle.config["linux"]["maskedPaths"].append("/full/file")
    bundle.run("true")

    def table(way: str) -> list[tuple[str, ...]]:
        words = [sys.executable, "-c", _ONE_WAY, str(bundle.directory), way]
        lines = [line.split(" ") for line in output("unshare", "--mount", *words).splitlines() if line]
        found = [line for line in lines if line[4].startswith(str(bundle.rootfs))]
        return [(line[3], line[4], line[5], line[6].partition(":")[0], line[line.index("-") + 1]) for line in found]

    assert table("by bash") == table("by calls")
    assert os.path.exists(bundle.rootfs / "x/pipe")


def test_neither_way_into_the_root_needs_a_proc_there(bundle: Bundle) -> None:
    bundle.config["mounts"] = []
    assert bundle.run("echo /proc/*") == bundle.run("echo /proc/*", "--no-pivot") == "/proc/*\n"


def test_a_root_file_system_that_is_none(bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "config.json"
    assert f"the root file system {bundle.directory}/config.json: Not a directory" in bundle.refusal()


def test_what_cannot_be_mounted_is_said_in_a_sentence(bundle: Bundle, tmp_path: Path) -> None:
    bundle.mount("/mnt", "nosuchfs", "none")
    assert "mount(none on /mnt, nosuchfs): No such device" in bundle.refusal()
    bundle.config["mounts"].pop()
    bundle.mount("/mnt", "bind", str(tmp_path / "missing"), "bind")
    assert f"{tmp_path}/missing, to be mounted on /mnt: No such file" in bundle.refusal()


def test_a_bind_mount_ignores_what_is_a_file_systems_own(bundle: Bundle, shared: Path) -> None:
    bundle.mount("/m", "", str(shared), "bind", "nosuid", "mode=755", "size=1k", "nonsense")
    flags, _, options = mount_line(bundle.run("cat /proc/self/mountinfo"), "/m")
    assert "nosuid" in flags
    assert not {"mode=755", "size=1k", "nonsense"} & {*options}
