"""Building the guest image: one run of mmdebstrap with hooks, as root or in a user namespace of an ordinary user.

Nothing of it needs root's rights or loop devices: mmdebstrap makes the root filesystem in a directory, ``mke2fs -d``
makes a disk of that directory, and special hooks of mmdebstrap bring the results out of its user namespace.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from labkit import log
from labkit.errors import BuildError, MissingToolError
from labkit.host import payload
from labkit.host.image import inputs, keys
from labkit.host.image.guestfiles import guest_files
from labkit.host.image.inputs import Inputs
from labkit.host.image.sources import apt_settings, keyring, sources

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
}
"""Program -> Debian's package."""

SPACE_NEEDED = 2_500_000_000
"""Bytes in the temporary directory at the height of a build: root filesystem, disk, compressed disk."""

_SCRATCH_PREFIX = "labkit-build-"


def build(wanted: Inputs, directory: Path, log_file: Path) -> None:
    """Make ``disk.qcow2``, ``vmlinuz``, ``initrd``, ``facts.json``, ``client_key``, ``host_key.pub`` and the
    containers' ``busybox.tar`` and ``redis.tar`` in ``directory``.

    The directory exists and is the caller's to delete if this raises: MissingToolError, BuildError (with the last lines
    of ``log_file``), KeyboardInterrupt (mmdebstrap was ended first and has cleaned up).
    """
    _check_tools()
    client, host = keys.generate(), keys.generate()
    _write_private(directory / "client_key", client.private)
    (directory / "host_key.pub").write_text(host.public + "\n", encoding="utf-8")
    configuration = guest_files(client.public, host.private, host.public, secrets.token_hex(16))
    configuration |= {f"{payload.PREFIX}/{path}": contents for path, contents in wanted.payload.items()}
    configuration |= {f"/labkit-build/{name}": text.encode() for name, text in wanted.scripts.items()}
    _write_private(directory / "guest.tar", _tar(configuration))
    with scratch_directory() as scratch:
        command = mmdebstrap_command(directory, wanted)
        environment = {
            **os.environ,
            "TMPDIR": str(scratch),
            "LABKIT_SUITE": inputs.SUITE,
            "LABKIT_KERNEL_SUITE": wanted.kernel.suite,
            "LABKIT_KERNEL_PACKAGE": wanted.kernel.package,
        }
        _run(command, environment, log_file)
    (directory / "guest.tar").unlink()


def mmdebstrap_command(directory: Path, wanted: Inputs) -> list[str]:
    """The command line; its results go to ``directory``."""

    def download(name: str, place: str = "/labkit-out") -> str:
        # Special hooks are split as a shell would.
        return f"--customize-hook=download {place}/{name} {shlex.quote(str(directory / name))}"

    return [
        "mmdebstrap",
        "--verbose",
        f"--mode={'root' if _user_id() == 0 else 'unshare'}",
        f"--architectures={inputs.ARCHITECTURE}",
        "--variant=essential",
        "--format=null",
        "--skip=cleanup",  # finish_guest.py deletes more, and before the disk is made
        f"--keyring={keyring()}",
        f"--include={','.join(inputs.PACKAGES)}",
        *[f"--aptopt={setting}" for setting in apt_settings()],
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *[f"--dpkgopt=path-exclude={pattern}" for pattern in inputs.EXCLUDED],
        f"--customize-hook=tar-in {shlex.quote(str(directory / 'guest.tar'))} /",
        f"--customize-hook={wanted.scripts['fetch_kernel.sh']}",
        '--customize-hook=chroot "$1" python3 /labkit-build/finish_guest.py',
        *[download(name) for name in ("vmlinuz", "initrd", "facts.json")],
        *[download(name, "/usr/share/labkit/images") for name in ("busybox.tar", "redis.tar")],
        '--customize-hook=rm -r "$1/labkit-out"',
        f"--customize-hook={wanted.scripts['make_disk.sh']}",
        download("disk.qcow2"),
        inputs.SUITE,
        "-",
        *sources(inputs.SUITE),
    ]


def _user_id() -> int:
    """0 is root. (Nothing is built on Windows, which has no such numbers, but the module is checked there.)"""
    if sys.platform == "win32":
        return -1
    return os.getuid()


def _check_tools() -> None:
    if not sys.platform.startswith("linux"):
        raise MissingToolError(
            "The guest image can only be built on Linux, and there is none in the cache.",
            "Run `invoke up` on a Linux computer (or in WSL) and copy its cache here; `invoke doctor` names both.",
        )
    needed = TOOLS if _user_id() == 0 else {**TOOLS, "newuidmap": "uidmap"}
    missing = [package for program, package in needed.items() if not shutil.which(program, path=_search_path())]
    if missing:
        raise MissingToolError(
            f"The guest image cannot be built without {', '.join(missing)}.",
            f"Run `python3 bootstrap.py`, or install them: `sudo apt-get install {' '.join(missing)}`.",
        )
    machine = os.uname().machine
    if machine != "x86_64":
        raise MissingToolError(
            f"The guest image is for x86-64 and cannot be built on {machine}.",
            "Build it on another computer and copy its cache to this one; `invoke doctor` names both.",
        )


def _search_path() -> str:
    """An ordinary user's PATH on Debian has no /sbin, where mke2fs is."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _write_private(path: Path, contents: bytes) -> None:
    """A file that no other user can read, not even for a moment."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(contents)


def _tar(files: dict[str, bytes]) -> bytes:
    """An archive of files that belong to root. Directories above them come first and are as everywhere: 0755."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, contents in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.mode, member.size = 0o644, len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return buffer.getvalue()


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for mmdebstrap, with room; deleted at the end, and so is one that a killed build left.

    mmdebstrap's namespace must be able to write to it and to search all directories above, so it cannot be in a home
    directory. Files in it belong to the namespace's users, whom only another such namespace can delete.
    """
    # /var/tmp goes before /tmp, which is in memory on many systems.
    places = (os.environ.get("TMPDIR"), "/var/tmp", tempfile.gettempdir())  # noqa: S108 - a new directory is made in it
    candidates = [Path(place) for place in places if place]
    free = {path: shutil.disk_usage(path).free for path in candidates if path.is_dir() and os.access(path, os.W_OK)}
    base = next((path for path in free if free[path] >= SPACE_NEEDED), None)
    if base is None:
        where = ", ".join(f"{path} has {size / 1e9:.1f} GB" for path, size in free.items()) or "there is none"
        raise BuildError(
            f"Building the guest image takes {SPACE_NEEDED / 1e9:.1f} GB in a temporary directory ({where}).",
            "Free some space, or name a directory on another disk in TMPDIR.",
        )
    for candidate in free:
        _delete_left_behind(candidate)
    scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{_user_id()}-{os.getpid()}-", dir=base))
    scratch.chmod(0o1777)
    try:
        yield scratch
    finally:
        _delete(scratch)


def _delete_left_behind(base: Path) -> None:
    """Scratch directories of this user's builds whose process is gone."""
    for path in base.glob(f"{_SCRATCH_PREFIX}{_user_id()}-*"):
        pid = path.name.removeprefix(_SCRATCH_PREFIX).split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            _delete(path)


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if path.exists() and _user_id() != 0:
        subprocess.run(["mmdebstrap", "--unshare-helper", "rm", "-rf", str(path)], check=False, capture_output=True)
        shutil.rmtree(path, ignore_errors=True)


def _run(command: list[str], environment: dict[str, str], log_file: Path) -> None:
    """Run mmdebstrap, with its output in ``log_file`` and what it is doing as notes."""
    environment["PATH"] = _search_path()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log.step("Building the guest image") as step, open(log_file, "wb") as logged:
        # A session of its own: Ctrl-C reaches us alone, and we pass it on once, so that it can delete in peace.
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            _follow(process.stdout, logged, step)
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    if status != 0:
        raise _failure(log_file)


def _follow(output: IO[bytes], logged: IO[bytes], step: log.Step) -> None:
    """Copy the output to the log, and note each new phase."""
    progress = Progress()
    for line in output:
        logged.write(line)
        logged.flush()
        note = progress.note(line.decode(errors="replace"))
        if note:
            step.note(note)


class Progress:
    """The lines of mmdebstrap, apt and dpkg -> notes, of which there shall be few: one per phase, never back."""

    PHASES = (
        (r"I: running apt-get update", "reading the lists of packages"),
        (r"Get:\d+ (?!.*Packages \[)(?!.*InRelease)", "downloading packages"),
        (r"I: (extracting archives|installing essential)", "unpacking the essential packages"),
        (r"I: installing remaining", "installing the other packages"),
        (r"I: kernel packages", "fetching the kernel"),
        (r"I: running .*finish_guest", "compiling, making the base images and the initrd"),
        (r"I: running .*Make the disk", "making the disk"),
        (r"I: removing tempdir", "cleaning up"),
    )

    def __init__(self) -> None:
        self._next = 0

    def note(self, line: str) -> str | None:
        """The phase that begins with this line, or None."""
        for number, (pattern, text) in enumerate(self.PHASES[self._next :], self._next):
            if re.match(pattern, line):
                self._next = number + 1
                return text
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt mmdebstrap, which then unmounts and deletes, and wait; not for ever."""
    if sys.platform == "win32":
        return
    for number, seconds in ((signal.SIGINT, 30), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue


def _failure(log_file: Path) -> BuildError:
    """The error that shows what mmdebstrap, or a program that it started, said last."""
    lines = log_file.read_text(errors="replace").splitlines()
    whole = f"The whole log: {log_file}"
    if any("No space left on device" in line for line in lines):
        return BuildError(
            f"There was no space left while the guest image was built (it takes {SPACE_NEEDED / 1e9:.1f} GB).",
            f"Free some space, or name a directory on another disk in TMPDIR. {whole}",
        )
    # mmdebstrap repeats whole scripts when one fails; what matters are the lines in which somebody complains.
    complaints = [
        line for line in lines if re.match(r"E: |Err:|W: |[a-z0-9-]+: (error|cannot)|mke2fs: |qemu-img: ", line)
    ]
    summary = next((line[3:] for line in complaints if line.startswith("E: ")), "mmdebstrap failed.")
    last = "\n".join((complaints or lines)[-8:])
    return BuildError(f"The guest image could not be built: {summary}", f"{whole}\nIts complaints end with\n{last}")
