"""An ordinary user, made for the tests of Vagrant and removed after them, and what Vagrant needs to be there.

Vagrant and libvirt are to work without root, and root's own session would prove nothing of that.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from labkit.host.image import guestimage, kernels
from labkit.host.lab import config, paths

PACKAGES = ("vagrant", "ruby")
LIBVIRT = ("vagrant-libvirt", "libvirt-daemon", "libvirt-clients", "qemu-system-x86", "qemu-utils")

_NOT_COPIED = (".venv", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "*.egg-info", ".vagrant")


@functools.cache
def why_no_vagrant(*, with_libvirt: bool) -> str:
    """Why there is no Vagrant here (with libvirt); empty where there is. Root on Debian installs it first."""
    if sys.platform != "linux":
        return f"Debian's packages of Vagrant are for Linux, and this is {sys.platform}"
    missing = _missing(with_libvirt)
    if not missing:
        return ""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"not installed: {', '.join(missing)}, and this is not root on a Debian, who could install it"
    packages = [*PACKAGES, *(LIBVIRT if with_libvirt else ())]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        if done.returncode != 0 and command[0] == "install":
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return f"`apt-get install {' '.join(packages)}` failed: {last}"
    missing = _missing(with_libvirt)
    return f"installed, and still not there: {', '.join(missing)}" if missing else ""


def _missing(with_libvirt: bool) -> list[str]:
    programs = ("vagrant", "ruby", *(("virsh", "libvirtd") if with_libvirt else ()))
    missing = [name for name in programs if not _which(name)]
    if with_libvirt and "vagrant" not in missing:
        listed = subprocess.run(["vagrant", "plugin", "list"], capture_output=True, text=True, check=False, timeout=120)
        missing += [] if "vagrant-libvirt " in listed.stdout else ["vagrant-libvirt"]
    return missing


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class User:
    """``with ordinary_user() as user: user.invoke("up")``. Its home, with all that labkit keeps, goes with it."""

    def __init__(self, name: str) -> None:
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.home = name, entry.pw_uid, Path(entry.pw_dir)
        self.state, self.cache = self.home / "state", self.home / "cache"
        self.runtime = self.home / "run"
        self.checkout, self.python = paths.checkout(), sys.executable

    def environment(self) -> dict[str, str]:
        """Ours, as far as it is not about us."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("XDG_", "LABKIT_", "VAGRANT_", "PYTEST_", "SUDO_")) and name != "VIRTUAL_ENV"
        }
        return {
            **kept,
            "HOME": str(self.home),
            "USER": self.name,
            "LOGNAME": self.name,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "LABKIT_STATE": str(self.state),
            "LABKIT_CACHE": str(self.cache),
            "NO_COLOR": "1",
            "PYTHONPATH": str(self.checkout),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that root runs ``words`` by, as this user."""
        return ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups", "--", *words]

    def run(self, *words: str, limit: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, in its checkout. ``more`` is added to the environment."""
        return subprocess.run(
            self.command(words),
            cwd=self.checkout,
            env={**self.environment(), **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
        )

    def invoke(self, *words: str, limit: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        """An invoke task."""
        return self.run(self.python, "-m", "invoke", *words, limit=limit, **more)

    def take_labkit(self) -> None:
        """A checkout and a Python that this user can read: ours, or else its own."""
        tried = self.run(self.python, "-c", "import invoke, fabric, pytest, labkit.host")
        if tried.returncode == 0:
            return
        self.checkout = self.home / "labkit"
        shutil.copytree(paths.checkout(), self.checkout, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        self.own(self.checkout)
        made = self.run("/usr/bin/python3", "bootstrap.py", "--no-packages", limit=600)
        assert made.returncode == 0, made.stdout + made.stderr
        self.python = str(self.checkout / ".venv" / "bin" / "python")

    def take_image(self) -> None:
        """The guest image and the kernel of our cache: to build them once more would take a minute."""
        lab = config.load()
        image = guestimage.ensure()
        kernel = kernels.ensure(lab.kernel(lab.machine().kernel), image)
        for directory in (image.directory, kernel.directory):
            place = self.cache / directory.parent.name
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "--archive", str(directory), str(place)], check=True)
        self.own(self.cache)

    def own(self, directory: Path) -> None:
        """Give it a directory of its home."""
        assert directory.is_relative_to(self.home)
        subprocess.run(["chown", "--recursive", f"{self.name}:", str(directory)], check=True)

    def processes(self) -> dict[int, str]:
        """Its processes: number -> name."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == self.uid:
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
        return found

    def listening(self) -> set[str]:
        """Local addresses, as proc(5) writes them, on which its processes listen."""
        found = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[7]) == self.uid and fields[3] in ("0A", "07"):
                    found.add(fields[1].split(":")[0])
        return found

    def end_processes(self) -> None:
        """All that it still runs: its daemons of libvirt wait two minutes for more work."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            until = time.monotonic() + 10
            while self.processes() and time.monotonic() < until:
                time.sleep(0.1)


@contextlib.contextmanager
def ordinary_user() -> Iterator[User]:
    """A user that did not exist and does not exist afterwards. Only root can make one."""
    name = f"labe2e-{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True, capture_output=True)
    user = User(name)
    try:
        user.runtime.mkdir(mode=0o700)
        user.own(user.runtime)
        yield user
    finally:
        user.end_processes()
        # userdel takes the home with it, which it has from /etc/passwd, and complains that there is no mail.
        subprocess.run(["userdel", "--remove", name], check=False, capture_output=True)
