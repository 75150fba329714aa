#!/usr/bin/env python3
"""Make the base images ``busybox`` and ``redis`` from the programs of the system that this runs on.

Usage: ``python3 make_base_images.py OUTDIR`` writes ``OUTDIR/busybox.tar`` and ``OUTDIR/redis.tar``. Each is an
*OCI image layout* (https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md) packed in a tar: every
blob is a file named by its SHA-256, a manifest names a configuration and the layers, ``index.json`` names the manifest.

``redis`` has two layers, and the first is busybox's, byte for byte: the same digest, so a store keeps it once. Layers
are not compressed: unpacking is what a slow machine would wait for, and the disk that they travel on is compressed.

The result is reproducible: the same programs give the same bytes. So members are sorted, belong to root, have time 0.

Runs in the image build, inside the new root filesystem: standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's name of a processor -> the OCI specification's (it is Go's GOARCH)."""

MEDIA_TYPE = "application/vnd.oci.image.{}.v1{}"
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EPOCH = "1970-01-01T00:00:00Z"

# The hierarchy that programs expect. /proc, /sys and /dev are mount points only. /bin, /sbin and /lib are real
# directories here, as in docker's busybox image, not links into /usr.
TREE = """
bin dev etc home lib mnt opt proc root run sbin sys tmp usr/bin usr/lib usr/local/bin usr/local/sbin usr/sbin usr/share
var/cache var/lib var/log var/run var/spool var/tmp
"""
MODES = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}

FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
    ),
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/os-release": 'NAME="BusyBox (labkit)"\nID=busybox-labkit\nPRETTY_NAME="BusyBox (labkit)"\n',
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    # A runtime bind-mounts its own over these three, which needs something to mount on.
    "etc/hosts": "",
    "etc/hostname": "",
    "etc/resolv.conf": "",
}


class CannotMakeImagesError(Exception):
    """A program is missing or is not what it must be. The message is for the user."""


@dataclass
class Layer:
    """A file system, as the tar archive that it becomes: path (no leading slash) -> its member and contents."""

    members: dict[str, tuple[tarfile.TarInfo, bytes]] = field(default_factory=dict)

    def _add(self, path: str, kind: bytes, mode: int, contents: bytes = b"", target: str = "") -> None:
        member = tarfile.TarInfo(path)
        member.type, member.mode, member.size, member.linkname = kind, mode, len(contents), target
        self.members[path] = (member, contents)  # TarInfo's own defaults: uid, gid and mtime 0, no names

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add a directory, and its parents where they are not there yet."""
        parent = path.rpartition("/")[0]
        if parent and parent not in self.members:
            self.directory(parent)
        self._add(path, tarfile.DIRTYPE, mode)

    def file(self, path: str, contents: bytes, mode: int = 0o644) -> None:
        """Add a regular file, and its parents."""
        parent = path.rpartition("/")[0]
        if parent and parent not in self.members:
            self.directory(parent)
        self._add(path, tarfile.REGTYPE, mode, contents)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link to ``target``."""
        self._add(path, tarfile.SYMTYPE, 0o777, target=target)

    def archive(self) -> bytes:
        """The tar archive. Sorted, so that a directory comes before what is in it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(self.members):
                member, contents = self.members[path]
                tar.addfile(member, io.BytesIO(contents))
        return buffer.getvalue()


def program(name: str) -> Path:
    """Where ``name`` is on this system, links followed."""
    found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if not found:
        raise CannotMakeImagesError(f"no program {name} here (Debian: busybox-static, redis-server, redis-tools)")
    return Path(found).resolve()


def is_static(contents: bytes) -> bool:
    """Whether an ELF program needs no loader: it has no program header of type PT_INTERP (3); see elf(5).

    Both architectures are 64-bit little-endian: the table's offset is at 32, an entry's size at 54, their number at 56.
    """
    if contents[:6] != b"\x7fELF\x02\x01":
        raise CannotMakeImagesError("busybox is no 64-bit little-endian ELF program")
    offset = int.from_bytes(contents[32:40], "little")
    size = int.from_bytes(contents[54:56], "little")
    number = int.from_bytes(contents[56:58], "little")
    headers = (contents[offset + i * size :][:4] for i in range(number))
    return all(int.from_bytes(header, "little") != 3 for header in headers)


def shared_libraries(path: Path) -> list[str]:
    """The absolute paths of the loader and of the libraries that a program needs, all levels deep, by ldd(1)."""
    output = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
    if "not found" in output:
        raise CannotMakeImagesError(f"a shared library of {path} is missing on this system: {output}")
    return sorted(set(re.findall(r"(/\S+) \(0x[0-9a-f]+\)", output)))


def busybox_layer() -> Layer:
    """A small root filesystem: one static program under three hundred names, and what must be around it."""
    layer = Layer()
    for path in TREE.split():
        layer.directory(path, MODES.get(path, 0o755))
    for path, text in FILES.items():
        layer.file(path, text.encode())
    layer.link("etc/mtab", "/proc/self/mounts")
    busybox = program("busybox")
    contents = busybox.read_bytes()
    if not is_static(contents):
        raise CannotMakeImagesError(f"{busybox} is not static (Debian: the package busybox-static)")
    layer.file("bin/busybox", contents, 0o755)
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            layer.link(f"bin/{applet}", "busybox")
    if "bin/sh" not in layer.members:
        raise CannotMakeImagesError(f"{busybox} has no applet sh")
    # Scripts that begin with #!/usr/bin/env are common, so env is in both places.
    layer.link("usr/bin/env", "../../bin/env")
    return layer


def redis_layer(below: Layer) -> Layer:
    """What redis adds: the server, its tools, the libraries they need, and the directory /data."""
    layer = Layer()
    for name in ("redis-server", "redis-cli", "redis-benchmark"):
        path = program(name)
        layer.file(f"usr/bin/{name}", path.read_bytes(), 0o755)
        for library in shared_libraries(path):
            # Under the name that the loader looks for, which is often a link here: only the name counts.
            layer.file(library.lstrip("/"), Path(library).read_bytes(), 0o755)
    layer.directory("data")
    # A directory that the layer below has already would only be repeated; its mode there must hold.
    for repeated in layer.members.keys() & below.members.keys():
        del layer.members[repeated]
    return layer


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass
class Layout:
    """An OCI image layout: blobs by digest, and the manifests that it offers."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    def blob(self, kind: str, contents: bytes) -> dict[str, Any]:
        """Keep a blob and return its descriptor, by which others refer to it."""
        digest = "sha256:" + hashlib.sha256(contents).hexdigest()
        self.blobs[digest] = contents
        return {"mediaType": kind, "digest": digest, "size": len(contents)}


def image_archive(reference: str, layers: list[bytes], config: dict[str, Any], architecture: str) -> bytes:
    """One image as the tar of an OCI layout."""
    layout = Layout()
    descriptors = [layout.blob(MEDIA_TYPE.format("layer", ".tar"), layer) for layer in layers]
    configuration = {
        "created": EPOCH,
        "architecture": architecture,
        "os": "linux",
        "config": config,
        # The digest of an *uncompressed* layer is its diff_id. Ours are not compressed, so both are the same.
        "rootfs": {"type": "layers", "diff_ids": [descriptor["digest"] for descriptor in descriptors]},
        "history": [{"created": EPOCH, "created_by": "labkit make_base_images"} for _ in descriptors],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE.format("manifest", "+json"),
        "config": layout.blob(MEDIA_TYPE.format("config", "+json"), _json(configuration)),
        "layers": descriptors,
    }
    entry = layout.blob(MEDIA_TYPE.format("manifest", "+json"), _json(manifest))
    entry["annotations"] = {"org.opencontainers.image.ref.name": reference}
    index = {"schemaVersion": 2, "mediaType": MEDIA_TYPE.format("index", "+json"), "manifests": [entry]}

    packed = Layer()
    packed.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    packed.file("index.json", _json(index))
    for digest, contents in layout.blobs.items():
        packed.file("blobs/" + digest.replace(":", "/"), contents)
    return packed.archive()


def make_images() -> dict[str, bytes]:
    """Name -> archive of every base image."""
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    busybox = busybox_layer()
    redis = redis_layer(busybox)
    first = busybox.archive()
    # --protected-mode no: redis refuses other machines by default, and across a bridge everyone is another machine.
    # --save "": no dump at exit, so that a container leaves nothing in its writable layer.
    command = ["redis-server", "--protected-mode", "no", "--save", ""]
    redis_config = {
        "Env": [SEARCH_PATH],
        "Cmd": command,
        "ExposedPorts": {"6379/tcp": {}},
        "WorkingDir": "/data",
    }
    return {
        "busybox": image_archive("busybox:latest", [first], {"Env": [SEARCH_PATH], "Cmd": ["sh"]}, architecture),
        "redis": image_archive("redis:latest", [first, redis.archive()], redis_config, architecture),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the archives; each appears under its name only when it is complete."""
    parser = argparse.ArgumentParser(description="Make the base images busybox and redis from this system's programs.")
    parser.add_argument("outdir", type=Path)
    outdir: Path = parser.parse_args(arguments).outdir
    try:
        images = make_images()
    except CannotMakeImagesError as error:
        print(f"make_base_images: {error}", file=sys.stderr)
        return 1
    outdir.mkdir(parents=True, exist_ok=True)
    for name, archive in images.items():
        partial = outdir / f".{name}.tar.{os.getpid()}"
        partial.write_bytes(archive)
        partial.replace(outdir / f"{name}.tar")
        print(f"{outdir / f'{name}.tar'}: {len(archive)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
