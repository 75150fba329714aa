"""Kernel parameters of the container's own namespaces (sysctl(8)), and the domain name of its uts namespace."""

from __future__ import annotations

import os

from labkit.errors import KernelError
from labkit.runtime.operations import Operation
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.oci.spec import Spec


def plan(spec: Spec) -> list[Operation]:
    """Before any mount: /proc/sys shows whoever looks the values of his own namespaces, also the host's /proc."""
    operations: list[Operation] = [SetParameter(path, value) for path, value in spec.sysctl.items()]
    if spec.domainname:
        operations.append(SetParameter("kernel/domainname", spec.domainname))
    return operations


@dataclass(frozen=True)
class SetParameter(Operation):
    """One value; ``path`` is below /proc/sys."""

    path: str
    value: str

    def describe(self) -> str:
        """As a shell writes a file."""
        return f"echo {quote(self.value)} > {quote('/proc/sys/' + self.path)}"

    def do(self) -> None:
        """One write(2): the kernel takes a value only whole (proc(5))."""
        try:
            descriptor = os.open(f"/proc/sys/{self.path}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, self.value.encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            message = f"sysctl {self.path.replace('/', '.')}={self.value}: {error.strerror}"
            raise KernelError(
                message, "this kernel must have the parameter, and take the value", error.errno or 0
            ) from error

    def undo(self) -> None:
        """Nothing: it goes with the namespace."""
