"""Ways out of a root file system, each tried from an image, from a volume or from inside: none may lead anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host in which nothing may be made or mounted."""
    place = tmp_path / "victim"
    place.mkdir()
    (place / "mark").write_text("the host's\n")
    yield place
    assert [path.name for path in place.iterdir()] == ["mark"]
    assert (place / "mark").read_text() == "the host's\n"


@pytest.mark.parametrize("up", ["/", "../../../../../../../..", "/../.."])
def test_a_mount_target_that_is_a_link_is_one_of_the_container(bundle: Bundle, victim: Path, up: str) -> None:
    (bundle.rootfs / "way").symlink_to(f"{up}{victim}")
    (bundle.rootfs / "file-way").symlink_to(f"{up}{victim}/mark")
    bundle.mount("/way/made", "tmpfs", "tmpfs")
    bundle.mount("/way", "tmpfs", "tmpfs")
    bundle.mount("/file-way", "bind", "/dev/null", "bind")
    bundle.config["process"]["cwd"] = "/way/and/work"
    bundle.config["linux"]["devices"] = [{"path": "/way/node", "type": "p"}]
    bundle.config["linux"]["maskedPaths"].append("/way/mark")
    assert bundle.run("pwd -P").strip() == f"{victim}/and/work"


def test_etc_as_a_link_to_the_root_makes_files_in_the_containers(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.rootfs / "etc").rmdir()
    (bundle.rootfs / "etc").symlink_to("/")
    (tmp_path / "hosts").write_text("mine\n")
    bundle.mount("/etc/hosts", "bind", str(tmp_path / "hosts"), "bind")
    assert bundle.run("cat /hosts") == "mine\n"
    assert not os.path.exists("/hosts")


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_proc_and_sys_are_mounted_on_ordinary_directories_only(bundle: Bundle, kind: str) -> None:
    (bundle.rootfs / "elsewhere").mkdir()
    (bundle.rootfs / "link").symlink_to("/elsewhere")
    bundle.mount("/link", kind, kind)
    assert "must be mounted on ordinary directory" in bundle.refusal()


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        ("/proc", "because it is not of type proc"),
        ("/proc/../proc/.", "because it is not of type proc"),
        ("/proc/self/attr", "because it is inside /proc"),
        ("/proc/1/root/tmp", "a link of /proc that leads anywhere is not followed"),
        ("/proc/self/fd/0", "a link of /proc that leads anywhere is not followed"),
        ("/link/tmp", "a link of /proc that leads anywhere is not followed"),
        ("/proc/sys/kernel", "because it is inside /proc"),
    ],
)
def test_nothing_is_mounted_in_proc(bundle: Bundle, victim: Path, destination: str, sentence: str) -> None:
    (bundle.rootfs / "link").symlink_to("/proc/1/cwd")
    bundle.mount(destination, "bind", str(victim), "rbind")
    assert sentence in bundle.refusal()


def test_lxcfs_may_replace_single_files(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("1.00 2.00\n")
    bundle.mount("/proc/uptime", "bind", str(tmp_path / "uptime"), "bind")
    assert bundle.run("cat /proc/uptime") == "1.00 2.00\n"


def test_a_mask_does_not_use_what_the_image_calls_dev_null(bundle: Bundle, tmp_path: Path) -> None:
    dev = tmp_path / "dev"
    dev.mkdir()
    (dev / "null").symlink_to("/etc/readable")
    (bundle.rootfs / "etc/readable").write_text("not empty\n")
    bundle.config["mounts"] = [
        mount for mount in bundle.config["mounts"] if not mount["destination"].startswith("/dev")
    ]
    bundle.mount("/dev", "bind", str(dev), "bind")
    assert bundle.run("cat /proc/keys | wc -c") == "0\n"


_SWAP = """
import ctypes, sys
libc = ctypes.CDLL(None)
first, second = (word.encode() for word in sys.argv[1:])
print("swapping", flush=True)
while True:
    libc.renameat2(-100, first, -100, second, 2)  # AT_FDCWD, RENAME_EXCHANGE
"""


def test_a_volume_whose_directory_becomes_a_link_all_the_time(bundle: Bundle, victim: Path, tmp_path: Path) -> None:
    """The other container that has the volume swaps a directory and a link to the host, as fast as it can."""
    volume = tmp_path / "volume"
    (volume / "dir").mkdir(parents=True)
    (volume / "aside").symlink_to(f"/../../..{victim}")
    bundle.mount("/vol", "bind", str(volume), "bind")
    bundle.mount("/vol/dir/made", "tmpfs", "tmpfs")
    bundle.mount("/vol/dir", "tmpfs", "tmpfs", "rslave", "nosuid")
    bundle.config["linux"]["devices"] = [{"path": "/vol/dir/node", "type": "p"}]
    words = [sys.executable, "-c", _SWAP, str(volume / "dir"), str(volume / "aside")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "swapping\n"
            ends = [bundle.try_to_run("echo reached") for _ in range(12)]
        finally:
            other.send_signal(signal.SIGKILL)
    for end in ends:
        assert end.stdout == "reached\n" or "changed while it was being mounted" in end.stderr, end.stderr
    # How many of them got through is chance. When nobody swaps any more, it must.
    if (volume / "dir").is_symlink():
        (volume / "dir").rename(volume / "link")
        (volume / "aside").rename(volume / "dir")
    assert bundle.try_to_run("echo reached").stdout == "reached\n"


@pytest.fixture
def with_python(bundle: Bundle) -> Bundle:
    """A container that can run Python: with the host's own /usr, which it can only read."""
    for name in ("lib", "lib64"):
        (bundle.rootfs / name).symlink_to(f"usr/{name}")
    bundle.mount("/usr", "bind", "/usr", "rbind", "ro")
    return bundle


def _python(bundle: Bundle, script: str) -> str:
    (bundle.rootfs / "script.py").write_text(script)
    return bundle.run("/usr/bin/python3 /script.py")


def test_chroot_and_a_descriptor_of_the_old_root_lead_to_the_containers_root(with_python: Bundle, victim: Path) -> None:
    said = _python(
        with_python,
        f"""
import os
root = os.open("/", os.O_RDONLY)
os.mkdir("/jail")
os.chroot("/jail")
os.fchdir(root)
for _ in range(64):
    os.chdir("..")
os.chroot(".")
print(os.path.exists("/script.py"), os.path.exists("{victim}/mark"))
""",
    )
    assert said == "True False\n"


def test_a_file_handle_opens_nothing(with_python: Bundle) -> None:
    """open_by_handle_at(2), with which the "shocker" read the host's files, wants CAP_DAC_READ_SEARCH."""
    said = _python(
        with_python,
        """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]
handle, mount = Handle(128), ctypes.c_int()
root = os.open("/tmp", os.O_RDONLY)
known = libc.name_to_handle_at(-100, b"/tmp", ctypes.byref(handle), ctypes.byref(mount), 0) == 0
if not known:  # a file system without handles: any will do, rights are asked for first
    handle.size, handle.type = 8, 1
assert libc.open_by_handle_at(root, ctypes.byref(handle), os.O_RDONLY) == -1
print(errno.errorcode[ctypes.get_errno()])
""",
    )
    assert said == "EPERM\n"


def test_a_node_of_the_hosts_disk_can_be_made_and_not_opened(bundle: Bundle) -> None:
    disk = os.stat("/").st_dev
    for kind, major, minor in (("b", os.major(disk), os.minor(disk)), ("c", 1, 1), ("c", 10, 237)):
        said = bundle.run(
            f"rm -f /node; mknod /node {kind} {major} {minor} && echo made; cat /node 2>&1;"
            "(echo x > /node) 2>&1 && echo written; true"
        )
        assert said.startswith("made\n")
        assert said.count("Operation not permitted") == 2
        assert "written" not in said


@pytest.mark.parametrize(
    "file",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/panic_on_oom",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
    ],
)
def test_what_the_kernel_would_do_for_root_is_out_of_reach(bundle: Bundle, file: str) -> None:
    said = bundle.run(f"for f in {file} /sys/fs/cgroup/*/release_agent; do echo x > $f && echo written; done; echo end")
    assert said == "end\n"
    assert (
        bundle.run("mount -o remount,rw /proc/sys && echo remounted; umount /proc/sys && echo gone; echo end")
        == "end\n"
    )
