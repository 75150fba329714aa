r"""What is deployed into a machine, as data: pyroute2 and labkit's own guest side, below one prefix.

Nothing is installed in the guest by its package manager or by pip: the machine may have no network, and the version
that runs there must be the one that is edited here. pyroute2 comes from the very environment that runs this, and goes
into the guest image when that is built (``image_files``), since compiling it takes long in an emulated machine; labkit
itself comes by ``deploy``, which compares manifests and sends what changed.

All contents are bytes as the guest reads them: source files have LF line ends also where the checkout (on Windows) has
CRLF, because ``#!/usr/bin/python3\r`` names a program that does not exist.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import tarfile
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import labkit
from labkit.errors import MissingToolError

PREFIX = "/opt/labkit"

LAUNCHER = """\
#!/usr/bin/python3 -IS
# -I and -S: no environment variable and no site-packages of the machine's can change what runs (and it starts sooner).
import os
import sys

if sys.version_info < (3, 9):  # Ubuntu 20.04, where vagrant/provision.sh puts a newer one beside it
    os.execv("/usr/local/bin/python3", ["python3", "-IS", *sys.argv])
library = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib")
sys.path.append(library)
# Without the packages around it, which it will find sooner.
quickstart = type(sys)("labkit.runtime.std.quickstart")
loader = type(__loader__)(quickstart.__name__, f"{{library}}/labkit/runtime/std/quickstart.py")
exec(loader.get_code(quickstart.__name__), quickstart.__dict__)
quickstart.prepare(library)
from {module} import main

quickstart.leave(main())
"""

PROGRAMS = {
    "bin/labkit": "labkit.runtime.cli.main",
    "bin/labkit-oci": "labkit.runtime.cli.oci.main",
    "sbin/mount.aufs": "labkit.runtime.cli.mount_aufs",
}
"""Path below ``PREFIX`` -> the module that it starts."""

RECEIVER = Path(__file__).with_name("receiver.py")
"""The program that puts it there, as root."""
NOT_COMPILED, NOT_COMPLETE, OVERTAKEN = 65, 66, 75
"""Its exit statuses, see there: it has no others of its own, and a Python that fails has 1."""

BIN = "/usr/local/bin"
"""Gets a link to each program of ``PREFIX/bin``."""

IMAGES = "/usr/share/labkit/images"

HELPER = "/sbin/mount.aufs"
"""Where mount(8) looks for its helper for aufs; a link to ours, unless the distribution has one."""


def vendored() -> dict[str, bytes]:
    """pyroute2 and its licence: path below ``PREFIX`` -> contents."""
    found = importlib.util.find_spec("pyroute2")  # Finds without importing: that would take 150 ms.
    if found is None or found.origin is None:
        raise MissingToolError(
            "pyroute2, which goes into the machine, is not in this Python environment.",
            "Run `python3 bootstrap.py` again: it installs what pyproject.toml names.",
        )
    package = Path(found.origin).parent
    files = {f"lib/pyroute2/{name}": path.read_bytes() for name, path in files_below(package) if path.suffix == ".py"}
    for entry in importlib.metadata.files("pyroute2") or ():
        if "licenses" in entry.parts:
            files[f"lib/{entry.as_posix()}"] = Path(str(entry.locate())).read_bytes()
    return dict(sorted(files.items()))


def runtime_code() -> dict[str, bytes]:
    """The guest side, labkit without ``labkit.host``, and its launchers: path below ``PREFIX`` -> contents."""
    package = Path(labkit.__file__).parent
    files = {
        f"lib/labkit/{name}": with_lf(path.read_bytes())
        for name, path in files_below(package)
        if not name.startswith("host/")
    }
    files |= {path: LAUNCHER.format(module=module).encode() for path, module in PROGRAMS.items()}
    return dict(sorted(files.items()))


def everything() -> dict[str, bytes]:
    """All that a deployed machine has: path below ``PREFIX`` -> contents."""
    return {**vendored(), **runtime_code()}


def image_files() -> dict[str, bytes]:
    """What a fresh guest image has: path below ``PREFIX`` -> contents, its ``manifest.json`` among them."""
    files = vendored()
    return {**files, "manifest.json": encode_manifest(manifest(files))}


def manifest(files: dict[str, bytes]) -> dict[str, str]:
    """Path -> SHA-256 of the contents, in hexadecimal. ``PREFIX/manifest.json`` has paths below ``PREFIX``."""
    return {path: hashlib.sha256(contents).hexdigest() for path, contents in sorted(files.items())}


def encode_manifest(digests: dict[str, str]) -> bytes:
    """The bytes of ``manifest.json``: the same for the same manifest."""
    return json.dumps(digests, indent=0, sort_keys=True).encode() + b"\n"


def read_manifest(text: bytes) -> dict[str, str]:
    """What ``encode_manifest`` wrote. One that cannot be read vouches for nothing."""
    try:
        files = json.loads(text or b"{}")
    except ValueError:
        return {}
    return files if isinstance(files, dict) else {}


@dataclass(frozen=True)
class Place:
    """Where things go in a machine. Tests have another, and so has a prefix of somebody's own: nothing beside it."""

    prefix: str = PREFIX
    bin: str = BIN
    helper: str = HELPER
    archives: tuple[str, ...] = (f"{IMAGES}/busybox.tar", f"{IMAGES}/redis.tar")
    """The base images, as the guest image's build made them."""


@dataclass(frozen=True)
class Difference:
    """What has to be done below a prefix, and what it leads to."""

    base: str
    """The digest by which the receiver recognises the manifest that was compared with."""
    send: dict[str, bytes]
    delete: list[str]
    wanted: dict[str, str]
    """The manifest afterwards."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.send or self.delete)

    def message(self, place: Place) -> bytes:
        """What ``receiver.py`` reads: its header and a tar of ``send``."""
        archive = pack(self.send, PROGRAMS, compression=1)
        header = {
            **asdict(place),
            "base": self.base,
            "delete": self.delete,
            "manifest": self.wanted,
            "size": len(archive),
            "digest": hashlib.sha256(archive).hexdigest(),
        }
        return json.dumps(header).encode() + b"\n" + archive


def compare(files: dict[str, bytes], there: bytes, kept: str | None = None) -> Difference:
    """``files`` against the manifest that is there (empty: none). What begins with ``kept`` is left as it is."""
    found = read_manifest(there)
    wanted = {path: digest for path, digest in found.items() if kept and path.startswith(kept)} | manifest(files)
    return Difference(
        base=hashlib.sha256(there).hexdigest() if there else "",
        send={path: contents for path, contents in files.items() if found.get(path) != wanted[path]},
        delete=sorted(set(found) - set(wanted)),
        wanted=wanted,
    )


def pack(files: dict[str, bytes], programs: Container[str] = (), compression: int = 0) -> bytes:
    """A tar of files that belong to root, gzipped where a compression is given; ``programs`` may be executed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, contents in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(contents), 0o755 if path in programs else 0o644
            tar.addfile(member, io.BytesIO(contents))
    return gzip.compress(buffer.getvalue(), compression) if compression else buffer.getvalue()


def files_below(directory: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a package, with its path relative to it, ``/`` between the parts. No caches, no editor's files."""
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if (
            not hidden
            and path.suffix not in {".pyc", ".orig", ".rej"}
            and not path.name.endswith("~")
            and path.is_file()
        ):
            yield relative.as_posix(), path


def with_lf(contents: bytes) -> bytes:
    """With LF line ends, unless it is binary."""
    return contents if b"\0" in contents else contents.replace(b"\r\n", b"\n")
