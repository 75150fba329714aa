"""Device nodes in the root file system (config-linux.md, "Devices")."""

from __future__ import annotations

import os
import stat

from labkit.errors import ConfigError, KernelError
from labkit.runtime.kernel.rootdir import resolve
from labkit.runtime.oci.root.mounting import BindInside
from labkit.runtime.oci.root.rootfs import Inside, opened_place
from labkit.runtime.oci.spec.device import Device
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote

#: The specification's letters of devices (config-linux.md, "Devices") -> the file's type; u is c, unbuffered.
NODE_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


@dataclass(frozen=True)
class MakeDeviceInside(Inside):
    """A device node or a fifo (mknod(2)). One that is there must be the same; another file is an error."""

    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        """As mknod(1) and chown(1)."""
        place = resolve(self.rootfs, self.path)
        before = "" if os.path.dirname(self.path) == "/dev" else f"mkdir -p {quote(os.path.dirname(place))} && "
        numbers = "" if self.kind == "p" else f" {self.major} {self.minor}"
        after = f" && chown {self.uid}:{self.gid} {quote(place)}" if self.uid or self.gid else ""
        return f"{before}mknod -m {self.mode:04o} {quote(place)} {self.kind}{numbers}{after}"

    def do(self) -> None:
        """mknod(2) with no umask, then chown(2). In a user namespace nobody may: there it is the host's own, bound."""
        kind, number = NODE_TYPES[self.kind], os.makedev(self.major, self.minor)
        with opened_place(self.rootfs, self.path) as (parent, name):
            before = os.umask(0)
            try:
                os.mknod(name, kind | self.mode, number, dir_fd=parent)
                if self.uid or self.gid:
                    os.chown(name, self.uid, self.gid, dir_fd=parent, follow_symlinks=False)
            except FileExistsError:
                there = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if stat.S_IFMT(there.st_mode) != kind or (self.kind != "p" and there.st_rdev != number):
                    raise ConfigError(
                        f"{self.path} is in the root file system already, and is not that device",
                        "take it out of the root file system, or of config.json",
                    ) from None
            except PermissionError:
                self._bind_the_hosts(kind, number)
            except OSError as error:
                raise KernelError(f"mknod({self.path}): {error.strerror}", errno=error.errno or 0) from error
            finally:
                os.umask(before)

    def _bind_the_hosts(self, kind: int, number: int) -> None:
        if not is_device(self.path, kind, number):
            raise ConfigError(
                f"the device {self.path} cannot be made in a user namespace, and the host has none there to bind",
                f"as root of the host: mknod {quote(self.path)} {self.kind} {self.major} {self.minor}",
            )
        BindInside(self.rootfs, self.path, self.path).do()


def numbers_of(device: Device) -> int:
    """Its major and minor number in one, as stat(2) has it."""
    return os.makedev(device.major, device.minor)


def is_device(path: str, kind: int, number: int) -> bool:
    """Whether the host has that very device there. A link counts as what it leads to, since a bind mount follows it."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return stat.S_IFMT(there.st_mode) == kind and there.st_rdev == number
