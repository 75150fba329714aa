"""A small initrd: busybox, an /init of some forty lines and the modules that the root filesystem needs.

A distribution's initrd is made for any hardware and takes seconds to unpack where the processor is emulated. Ours knows
its machine. The format is cpio's "newc" in gzip, see Documentation/driver-api/early-userspace/buffer-format.rst in the
kernel's source.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
from pathlib import Path, PurePosixPath

from labkit.errors import BuildError

MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")
APPLETS = ("sh", "mount", "insmod", "sleep", "ip", "switch_root", "echo", "poweroff", "findfs", "ln", "cat", "uname")
DIRECTORIES = ("bin", "dev", "proc", "sys", "modules", "newroot")


def build(modules: Path, release: str, busybox: bytes, init: bytes) -> bytes:
    """The initrd, gzipped.

    ``modules`` is a tar archive of /lib/modules with the files of depmod(8); ``busybox`` a static program. BuildError
    where a module that is needed is neither there nor built into the kernel.
    """
    with tarfile.open(modules) as archive:
        tree = _Tree(archive, release)
        needed = [_uncompressed(path, tree.read(path)) for path in tree.in_order_of_loading(MODULES)]
    members = [cpio_entry(name, stat.S_IFDIR | 0o755) for name in DIRECTORIES]
    members.append(cpio_entry("init", stat.S_IFREG | 0o755, init))
    members.append(cpio_entry("bin/busybox", stat.S_IFREG | 0o755, busybox))
    members += [cpio_entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox") for applet in APPLETS]
    members += [cpio_entry(f"modules/{name}", stat.S_IFREG | 0o644, contents) for name, contents in needed]
    order = "".join(f"{name}\n" for name, _ in needed)
    members.append(cpio_entry("modules/list", stat.S_IFREG | 0o644, order.encode()))
    members.append(cpio_entry("TRAILER!!!", 0))
    return gzip.compress(b"".join(members), mtime=0)


def cpio_entry(name: str, mode: int, contents: bytes = b"") -> bytes:
    """One member: a header of hexadecimal fields, the name, the contents, each padded to four bytes."""
    # inode, mode, uid, gid, links, mtime, size, device major and minor, rdev major and minor, name's length, checksum
    fields = (0, mode, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % value for value in fields) + name.encode() + b"\0"
    header += bytes(-len(header) % 4)
    return header + contents + bytes(-len(contents) % 4)


class _Tree:
    """The modules of one kernel, by what depmod(8) wrote about them."""

    def __init__(self, archive: tarfile.TarFile, release: str) -> None:
        self._archive = archive
        self._members = {_below(member.name, release): member for member in archive if member.isfile()}
        # "PATH: PATH PATH …", what a module needs after it, and that the last of them is to be loaded first:
        # modules.dep(5).
        self._needs = dict(line.split(":", 1) for line in self._lines("modules.dep"))
        self._paths = {_module_name(path): path for path in self._needs}
        self._built_in = {_module_name(path) for path in self._lines("modules.builtin")}

    def in_order_of_loading(self, names: tuple[str, ...]) -> list[str]:
        """The paths of the modules with what they need, each once. What is built into the kernel has none."""
        paths: list[str] = []
        for name in names:
            if name in self._built_in:
                continue
            if name not in self._paths:
                raise BuildError(f"The kernel has no module {name}, without which the machine does not boot.")
            path = self._paths[name]
            paths += [*reversed(self._needs[path].split()), path]
        return list(dict.fromkeys(paths))

    def read(self, path: str) -> bytes:
        """A file's contents; ``path`` is below the kernel's directory."""
        file = self._archive.extractfile(self._members[path])
        assert file is not None
        return file.read()

    def _lines(self, name: str) -> list[str]:
        return self.read(name).decode().splitlines()


def _below(name: str, release: str) -> str:
    """``./RELEASE/kernel/fs/x.ko`` -> ``kernel/fs/x.ko``."""
    parts = PurePosixPath(name).parts
    return "/".join(parts[parts.index(release) + 1 :]) if release in parts else name


def _module_name(path: str) -> str:
    """``kernel/drivers/block/virtio-x.ko.xz`` -> ``virtio_x``, as modprobe(8) takes both signs for one."""
    return PurePosixPath(path).name.split(".ko", 1)[0].replace("-", "_")


def _uncompressed(path: str, contents: bytes) -> tuple[str, bytes]:
    """A module's file name and contents, as insmod of busybox understands it."""
    name = PurePosixPath(path).name
    if name.endswith(".ko.xz"):
        return name.removesuffix(".xz"), lzma.decompress(contents)
    if not name.endswith(".ko"):
        raise BuildError(f"The kernel's module {name} is compressed in a way that is not known here.")
    return name, contents
