"""Namespaces: clone(2), unshare(2), setns(2) and the files under /proc/PID/ns (namespaces(7))."""

from __future__ import annotations

import errno
import os
import struct

from labkit.errors import KernelError
from labkit.runtime.kernel import libc
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.std import ctypes, signal
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager

#: Name under /proc/PID/ns -> flag of clone(2). ``mnt`` is the oldest, hence its general name CLONE_NEWNS.
FLAGS = {
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "time": 0x00000080,
    "user": 0x10000000,
    "uts": 0x04000000,
}

#: The OCI specification's names (config-linux.md, "Namespaces") -> the kernel's.
OCI_NAMES = {{"mnt": "mount", "net": "network"}.get(kind, kind): kind for kind in FLAGS}

#: The child is born in the control group of version 2 whose directory's descriptor stands in struct clone_args (5.7).
_CLONE_INTO_CGROUP = 0x200000000
#: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup (clone(2)).
_CLONE_ARGS = struct.Struct("11Q")
#: The child's parent is the caller's own (clone(2)).
CLONE_PARENT = 0x00008000
#: ioctl_nsfs(2): which kind of namespace a descriptor stands for, as a flag of clone(2) (Linux 4.11).
_NS_GET_NSTYPE = 0xB703


def flags_of(names: list[str]) -> int:
    """The kernel's names, combined with ``|``."""
    result = 0
    for name in names:
        result |= FLAGS[name]
    return result


def words(flags: int) -> str:
    """``CLONE_NEWPID|CLONE_NEWUTS``, for messages."""
    constants = [
        "CLONE_NEWNS" if name == "mnt" else f"CLONE_NEW{name.upper()}" for name in FLAGS if flags & FLAGS[name]
    ]
    return "|".join(constants) or "0"


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces; for PID it is the next child that moves (unshare(2))."""
    libc.call("unshare", flags, what=f"unshare({words(flags)})")


def setns(descriptor: int, flags: int = 0) -> None:
    """Join the namespace behind an open descriptor; ``flags`` 0 accepts any kind (setns(2))."""
    # (In a joined mount namespace /proc/self/fd would not tell more: we may not be in its /proc at all.)
    libc.call("setns", descriptor, flags, what=f"setns({descriptor}, {words(flags)})")


def open_link(path: str, kind: str) -> int:
    """A descriptor of the namespace that ``path`` stands for. KernelError where it is none, or none of that kind."""
    with kernel_error(f"the namespace {path} cannot be opened"):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = libc.call("ioctl", descriptor, _NS_GET_NSTYPE, what=f"ioctl({path}, NS_GET_NSTYPE)")
    except KernelError:
        found = 0
    if found != FLAGS[kind]:
        os.close(descriptor)
        raise KernelError(f"{path} is no {kind} namespace", "see lsns(8)", errno.EINVAL)
    return descriptor


def join(path: str, flags: int = 0) -> None:
    """Join the namespace that a file (a link under /proc/PID/ns, or a bind mount of one) stands for."""
    with kept_open(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as descriptor:
        setns(descriptor, flags)


def clone(flags: int, group: int = -1) -> int:
    """fork(2), and new namespaces in the same call: 0 in the child, the child's pid in the parent (clone(2)).

    Like fork() this is the variant without a stack of its own: the child goes on here, on a copy of the parent's.
    Python is told by the same three functions that ``os.fork`` uses; only a process with one thread may do this.

    With ``group``, a descriptor of a directory of cgroup v2, the child is born in there, by clone3(2). KernelError
    where this kernel does not have that, or the group takes no process.

    Ctrl-C is the child's end, from its first moment: what a KeyboardInterrupt would run there is the parent's clean-up.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = -1
    try:
        if group < 0:
            pid = libc.syscall("clone", flags | signal.SIGCHLD, 0, 0, 0, 0, what=f"clone({words(flags)}|SIGCHLD)")
        else:
            fields = (flags | _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
            what = f"clone3({words(flags)}|CLONE_INTO_CGROUP)"
            pid = libc.syscall("clone3", _CLONE_ARGS.pack(*fields), _CLONE_ARGS.size, what=what)
    finally:
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


@contextmanager
def entered(path: str, kind: str = "net") -> Iterator[None]:
    """Be in another namespace for a few lines: what is opened there (a netlink socket) stays in it afterwards."""
    with kept_open(os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)) as home:
        join(path, FLAGS[kind])
        try:
            yield
        finally:
            setns(home, FLAGS[kind])


def is_chrooted() -> bool:
    """Whether our root is not the root of our mount namespace, as after chroot(2).

    A child finds out: setns(2) into a mount namespace, be it one's own, makes its root the caller's.
    """
    before = os.stat("/")
    child = os.fork()
    if child == 0:
        try:
            join("/proc/self/ns/mnt", FLAGS["mnt"])
            after = os.stat("/")
            os._exit(int((before.st_dev, before.st_ino) != (after.st_dev, after.st_ino)))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def inode(pid: int | str, kind: str) -> int:
    """The number of a process's namespace: equal numbers mean the same one (namespaces(7))."""
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
