"""What is set of the container's own namespaces: kernel parameters (sysctl(8)), names, the loopback device."""

from __future__ import annotations

import fcntl
import os
import struct

from labkit.errors import KernelError
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.oci.spec import Spec
from labkit.runtime.operations import GoesAlong, Operation
from labkit.runtime.std import socket
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote

_SIOCSIFFLAGS = 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40


def plan(spec: Spec) -> list[Operation]:
    """Before any mount: /proc/sys shows whoever looks the values of his own namespaces, also the host's /proc."""
    operations: list[Operation] = [SetParameter(path, value) for path, value in spec.sysctl.items()]
    if spec.domainname:
        operations.append(SetParameter("kernel/domainname", spec.domainname))
    return operations


@dataclass(frozen=True)
class SetParameter(GoesAlong):
    """One value; ``path`` is below /proc/sys."""

    path: str
    value: str

    def describe(self) -> str:
        """As a shell writes a file."""
        return f"echo {quote(self.value)} > {quote('/proc/sys/' + self.path)}"

    def do(self) -> None:
        """One write(2): the kernel takes a value only whole (proc(5))."""
        try:
            with kept_open(os.open(f"/proc/sys/{self.path}", os.O_WRONLY | os.O_CLOEXEC)) as descriptor:
                os.write(descriptor, self.value.encode() + b"\n")
        except OSError as error:
            message = f"sysctl {self.path.replace('/', '.')}={self.value}: {error.strerror}"
            raise KernelError(
                message, "this kernel must have the parameter, and take the value", error.errno or 0
            ) from error


@dataclass(frozen=True)
class SetHostname(GoesAlong):
    """The host name of this UTS namespace (sethostname(2))."""

    name: str

    def describe(self) -> str:
        """The shell's way without hostname(1)."""
        return f"echo {quote(self.name)} > /proc/sys/kernel/hostname"

    def do(self) -> None:
        """sethostname(2)."""
        socket.sethostname(self.name)


class SetLoopbackUp(GoesAlong):
    """The loopback device of a new network namespace is down, and 127.0.0.1 out of reach (network_namespaces(7))."""

    def describe(self) -> str:
        """As ip-link(8)."""
        return "ip link set lo up"

    def do(self) -> None:
        """The flag IFF_UP by ioctl (netdevice(7)): no netlink for one bit."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP | _IFF_RUNNING))
