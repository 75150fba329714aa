#!/usr/bin/env python3
"""Make a small initrd: busybox, an /init of thirty lines and the modules that the root filesystem needs.

Usage: ``python3 make_initrd.py INIT OUT`` in the guest's root filesystem, with one kernel in /lib/modules and
busybox-static.

A distribution's initrd is made for any hardware and takes seconds to unpack where the processor is emulated. Ours knows
its machine. The format is cpio's "newc" in gzip, see Documentation/driver-api/early-userspace/buffer-format.rst in the
kernel's source.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import subprocess
import sys
from pathlib import Path

MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")


def cpio_entry(name: str, mode: int, contents: bytes = b"") -> bytes:
    """One member: a header of hexadecimal fields, the name, the contents, each padded to four bytes."""
    # inode, mode, uid, gid, links, mtime, size, device major and minor, rdev major and minor, name's length, checksum
    fields = (0, mode, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % value for value in fields) + name.encode() + b"\0"
    header += bytes(-len(header) % 4)
    return header + contents + bytes(-len(contents) % 4)


def module_files(release: str) -> list[Path]:
    """The modules' files in the order in which they are to be loaded. What is built into the kernel has none."""
    paths: list[Path] = []
    for module in MODULES:
        # Prints "insmod PATH" for each that is needed, dependencies first, or "builtin NAME"; modprobe(8).
        command = ["/sbin/modprobe", "--show-depends", "--set-version", release, module]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for line in output.splitlines():
            word, path = line.split()[:2]
            if word == "insmod" and Path(path) not in paths:
                paths.append(Path(path))
    return paths


def uncompressed(path: Path) -> tuple[str, bytes]:
    """A module's file name and contents, as insmod of busybox understands it."""
    contents = path.read_bytes()
    if path.suffix == ".xz":
        return path.stem, lzma.decompress(contents)
    if path.suffix != ".ko":
        sys.exit(f"make_initrd: {path} is compressed in a way that is not known here")
    return path.name, contents


def build(release: str, init: bytes) -> bytes:
    """The initrd, gzipped."""
    modules = [uncompressed(path) for path in module_files(release)]
    busybox = Path("/bin/busybox").read_bytes()
    applets = "sh mount insmod sleep ip switch_root echo poweroff".split()
    members = [cpio_entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev", "proc", "sys", "modules", "newroot")]
    members.append(cpio_entry("init", stat.S_IFREG | 0o755, init))
    members.append(cpio_entry("bin/busybox", stat.S_IFREG | 0o755, busybox))
    members += [cpio_entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox") for applet in applets]
    members += [cpio_entry(f"modules/{name}", stat.S_IFREG | 0o644, contents) for name, contents in modules]
    order = "".join(f"{name}\n" for name, _ in modules)
    members.append(cpio_entry("modules/list", stat.S_IFREG | 0o644, order.encode()))
    members.append(cpio_entry("TRAILER!!!", 0))
    return gzip.compress(b"".join(members), mtime=0)


def main(arguments: list[str]) -> None:
    """Write the initrd of the only kernel that is installed."""
    init, out = arguments
    (release,) = [path.name for path in Path("/lib/modules").iterdir()]
    subprocess.run(["/sbin/depmod", release], check=True)
    Path(out).write_bytes(build(release, Path(init).read_bytes()))


if __name__ == "__main__":
    main(sys.argv[1:])
