"""Runs in the machine, as root: puts what ``deploy`` sends below the prefix. Sent as text, never imported by the host.

Standard input is one line of JSON, the header, and then a tar of the files that changed::

    {"prefix": "/opt/labkit",          where everything goes
     "base": "SHA-256",                of the manifest.json that the host compared with ("" for none)
     "delete": ["lib/labkit/old.py"],  paths below the prefix
     "manifest": {"PATH": "SHA-256"},  what is there afterwards
     "bin": "/usr/local/bin",          gets a symbolic link to each program in PREFIX/bin ("" for none)
     "helper": "/sbin/mount.aufs",     the same to PREFIX/sbin/mount.aufs, unless a file is there ("" for none)
     "size": N, "digest": "SHA-256"}   of the tar

Nothing is touched before the tar was received in full, unpacked beside and compiled; then files are put in place by one
rename each, and the manifest is written last. An interruption before that leaves the old files; one in between leaves a
manifest that does not vouch for the files concerned, so that the next deploy sends them again.

Exit statuses: 0 done, 65 a file cannot be compiled (nothing changed), 66 the input is not complete (nothing changed),
75 what is there is not what the host compared with (nothing changed but the manifest, which is true now): somebody else
deployed meanwhile, or deleted a file by hand. Python 3.9 and newer, standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import io
import json
import marshal
import os
import py_compile
import re
import shutil
import sys
import tarfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

# The types of fcntl are not known elsewhere, and there is nothing to receive on.
assert sys.platform != "win32"

NOT_COMPILED, NOT_COMPLETE, OVERTAKEN = 65, 66, 75


def main() -> int:
    """Receive, and take care that nothing of it is left beside the files, whatever happens."""
    header = json.loads(sys.stdin.buffer.readline() or b"{}")
    archive = sys.stdin.buffer.read()
    if len(archive) != header.get("size") or hashlib.sha256(archive).hexdigest() != header["digest"]:
        print("the input ended too early", file=sys.stderr)
        return NOT_COMPLETE
    prefix = Path(header["prefix"])
    prefix.mkdir(parents=True, exist_ok=True)
    with open(prefix / ".deploy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Let go by the kernel, also when this process is killed.
        incoming = prefix / ".incoming"
        shutil.rmtree(incoming, ignore_errors=True)  # What a killed predecessor left.
        try:
            return receive(header, archive, prefix, incoming)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)


def receive(header: dict[str, Any], archive: bytes, prefix: Path, incoming: Path) -> int:
    """Unpack and compile into ``incoming``, then put everything in place."""
    manifest = prefix / "manifest.json"
    old = manifest.read_bytes() if manifest.exists() else b""
    if (hashlib.sha256(old).hexdigest() if old else "") != header["base"]:
        return OVERTAKEN
    try:
        arrived = unpack(archive, prefix, incoming)
    except py_compile.PyCompileError as error:
        print(f"{error.file}: {error.exc_value}", file=sys.stderr)
        return NOT_COMPILED
    missing = [path for path in header["manifest"] if path not in arrived and not (prefix / path).exists()]
    if missing:
        write_manifest(manifest, {**vouched(old), **dict.fromkeys(missing, "")})
        return OVERTAKEN
    # From here until the end the manifest vouches for nothing that is about to change.
    doubtful = dict.fromkeys([*header["delete"], *arrived], "")
    write_manifest(manifest, {**vouched(old), **doubtful})
    for path in arrived:
        put(incoming / path, prefix / path)
    for path in header["delete"]:
        delete(prefix, prefix / path)
    for program in (path for path in header["manifest"] if header["bin"] and path.startswith("bin/")):
        link(prefix / program, Path(header["bin"], Path(program).name))
    offer(prefix / "sbin/mount.aufs", header.get("helper", ""))
    pack(
        prefix / "lib", [path for path in header["manifest"] if path.startswith("lib/labkit/") and path.endswith(".py")]
    )
    write_manifest(manifest, header["manifest"])
    return 0


def unpack(archive: bytes, prefix: Path, incoming: Path) -> list[str]:
    """The files of the tar, and the byte code of those that are Python, below ``incoming``; their paths."""
    paths = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            contents = tar.extractfile(member)
            assert contents is not None, "the host puts only files into the tar"
            here = incoming / member.name
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(contents.read())
            here.chmod(member.mode)
            if here.suffix == ".py":
                # The code remembers the name that it will have. The file's time, which the byte code also remembers,
                # is that of now and not of the tar: two edits of equal size must not be mistaken for one another.
                py_compile.compile(str(here), str(byte_code(here)), dfile=str(prefix / member.name), doraise=True)
            paths.append(member.name)
    return paths


def byte_code(source: Path) -> Path:
    """Where Python looks for the compiled form of a source file."""
    return Path(importlib.util.cache_from_source(str(source)))


def put(new: Path, place: Path) -> None:
    """Rename a file, and its byte code before it, into place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if new.suffix == ".py":
        byte_code(place).parent.mkdir(exist_ok=True)
        byte_code(new).replace(byte_code(place))
    new.replace(place)


def pack(library: Path, paths: list[str]) -> None:
    """All byte code of labkit in one file, as labkit/runtime/std/quickstart.py reads it.

    What stands there of a source (its time and size) is asked first: one that is edited meanwhile is then another.
    """
    file = library / "labkit.codes"
    beside = file.with_name(f"{file.name}.new")
    if not paths:  # labkit goes
        beside.unlink(missing_ok=True)  # a killed predecessor's
        delete(library.parent, file)
        return
    index: dict[str, tuple[Any, ...]] = {}
    codes = bytearray()
    for path in paths:
        source = library.parent / path
        name = ".".join(source.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
        about = source.stat()
        try:
            code = marshal.dumps(SourceFileLoader(name, str(source)).get_code(name))
        except SyntaxError:  # somebody has edited it in place
            continue
        was = (source.stem == "__init__", about.st_mtime_ns, about.st_size)
        needs = imported(name, source.read_text(encoding="utf-8"))
        index[name] = (*was, len(codes), len(codes) + len(code), needs)
        codes += code
    head = marshal.dumps(
        {name: (*rest, [one for one in needs if one in index]) for name, (*rest, needs) in index.items()}
    )
    lengths = b"".join(number.to_bytes(4, "little") for number in (len(head), 12 + len(head) + len(codes)))
    beside.write_bytes(importlib.util.MAGIC_NUMBER + lengths + head + codes)
    beside.replace(file)


def imported(module: str, source: str) -> list[str]:
    """What a module imports of labkit at once: modules, and names that may be some. For a package without its own
    modules, which need it first. Only lines at the margin: what stands in a block is for type checkers, or for later.
    """
    found: list[str] = []
    for package, names in re.findall(r"^from (labkit[\w.]*) import (\([^)]*\)|.*)", source, re.MULTILINE):
        found += [package, *(f"{package}.{name}" for name in re.findall(r"\w+", names))]
    return [name for name in dict.fromkeys(found) if not name.startswith(f"{module}.")]


def delete(prefix: Path, file: Path) -> None:
    """Remove a file, its byte code, and the directories that are empty then."""
    file.unlink(missing_ok=True)
    if file.suffix == ".py":
        byte_code(file).unlink(missing_ok=True)
    for directory in file.parents:
        if directory == prefix or (directory.is_dir() and {one.name for one in directory.iterdir()} - {"__pycache__"}):
            break
        shutil.rmtree(directory, ignore_errors=True)


def link(program: Path, name: Path) -> None:
    """Make ``name`` a symbolic link to ``program``, in one step."""
    if name.is_symlink() and os.readlink(name) == str(program):  # noqa: PTH115 (Path.readlink would normalise)
        return
    name.parent.mkdir(parents=True, exist_ok=True)
    beside = name.with_name(f"{name.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(program)
    beside.replace(name)


def offer(program: Path, name: str) -> None:
    """The same, unless the distribution has a program of that name, or the payload has none, or none is wanted."""
    if name and program.exists() and (Path(name).is_symlink() or not Path(name).exists()):
        link(program, Path(name))


def vouched(manifest: bytes) -> dict[str, str]:
    """What a manifest says; a damaged one says nothing."""
    try:
        return dict(json.loads(manifest or b"{}"))
    except ValueError:
        return {}


def write_manifest(file: Path, manifest: dict[str, str]) -> None:
    """Replace the manifest in one step, as ``deployed.encode_manifest`` writes it."""
    beside = file.with_name(f"{file.name}.new")
    with open(beside, "w") as stream:
        stream.write(json.dumps(manifest, indent=0, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)


if __name__ == "__main__":
    sys.exit(main())
