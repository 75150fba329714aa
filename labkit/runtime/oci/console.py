"""A terminal for a process in a container: made in there, and its master sent out (pty(7), unix(7), SCM_RIGHTS).

The pair is made from the container's own /dev/ptmx, so that its name (/dev/pts/0) means something inside. The master
goes to whoever asked for the terminal: podman's monitor by ``--console-socket``, or ourselves in the foreground.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios

from labkit.errors import ConflictError, KernelError, UsageError
from labkit.runtime.kernel import mounts, rootdir
from labkit.runtime.kernel.blocks import kept_open, short_path
from labkit.runtime.oci.root.rootfs import by_number
from labkit.runtime.oci.spec import Process
from labkit.runtime.std import signal, socket
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress

# asm-generic/ioctls.h; termios has them only from Python 3.13 on. TIOCGPTPEER is in kernels from 4.13 on.
_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430
_TIOCGPTPEER = 0x5441

_NEEDS_DEVPTS = "a terminal needs a devpts on /dev/pts"


def connect(path: str) -> socket.socket:
    """The connection to a console socket. UsageError where nobody listens there."""
    wire = socket.socket(socket.AF_UNIX)
    try:
        with short_path(path) as place:
            wire.connect(place)
    except OSError as error:
        wire.close()
        raise UsageError(
            f"the console socket {path} cannot be connected to: {error.strerror}",
            "who wants the terminal listens there",
        ) from None
    return wire


def take(wire: socket.socket, process: Process, rootfs: str = "/", on_console: bool = False) -> None:
    """In the container: make the terminal ours, as standard input, output and error, and send its master away.

    ``rootfs`` is where the container's root lies as yet. ``on_console``: bind it over /dev/console, as for a
    container's first process. The caller leads a session that has no terminal yet.
    """
    master, slave = _pair(rootfs)
    try:
        if process.console_size != (0, 0):
            set_size(master, process.console_size)
        if on_console:
            _bind_on_console(rootfs, master, slave)
        socket.send_fds(wire, [b"/dev/ptmx"], [master])
        wire.close()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            os.dup2(slave, number, inheritable=True)
    except OSError as error:
        raise KernelError(
            f"the terminal cannot be set up: {error.strerror}", "does somebody listen at the console socket?"
        ) from None
    finally:
        os.close(master)
        if slave > 2:
            os.close(slave)


def _pair(rootfs: str) -> tuple[int, int]:
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    try:
        if rootfs == "/":  # beside a container that runs, where there may be no /proc to go by
            master = os.open("/dev/ptmx", flags)
        else:
            with kept_open(rootdir.find(rootfs, "/dev/ptmx")) as place:
                master = os.open(by_number(place), flags)
    except (OSError, KernelError) as error:
        why = os.strerror(error.errno or 0)
        raise KernelError(f"no terminal: /dev/ptmx in the container: {why}", _NEEDS_DEVPTS) from None
    about = os.fstat(master)
    if about.st_rdev != os.makedev(5, 2) or not stat.S_ISCHR(about.st_mode):
        raise KernelError("no terminal: /dev/ptmx in the container is not the kernel's ptmx")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    # By the master and not by a path: whatever lies at /dev/pts/0, this is its other end (ioctl_tty(2)).
    return master, fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def _bind_on_console(rootfs: str, master: int, slave: int) -> None:
    number = struct.unpack("i", fcntl.ioctl(master, _TIOCGPTN, b"\0" * 4))[0]
    path = f"/dev/pts/{number}"
    with kept_open(rootdir.find(rootfs, path)) as terminal:
        if os.fstat(terminal).st_rdev != os.fstat(slave).st_rdev:
            raise KernelError(f"no terminal: {path} in the container is another one", "is /dev/pts a devpts?")
        with kept_open(rootdir.file(rootfs, "/dev/console")) as console:
            mounts.mount(by_number(terminal), by_number(console), flags=mounts.MS_BIND, shown="/dev/console")


def set_size(terminal: int, size: tuple[int, int]) -> None:
    """Columns and rows (the specification's order is height, width; ours here is width, height)."""
    width, height = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def receive(wire: socket.socket) -> int:
    """The master, as ``take`` sends it. ConflictError where none comes."""
    _, descriptors, _, _ = socket.recv_fds(wire, 4096, 1)
    wire.close()
    if not descriptors:
        raise ConflictError("the container has made no terminal")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


@contextmanager
def raw_mode(terminal: int) -> Iterator[None]:
    """Our own terminal passes every key on unread meanwhile; as it was afterwards. No-op where it is no terminal."""
    if not os.isatty(terminal) or _is_in_background(terminal):
        yield
        return
    import tty  # local: only in the foreground

    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _is_in_background(terminal: int) -> bool:
    """Whether it would stop us if we changed it (SIGTTOU, termios(3)): a shell runs us with ``&``."""
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        return False  # it controls another session, which is asked nothing


def own_terminal() -> int:
    """The terminal that we are used from, though some of our input and output lead elsewhere; -1 where there is none.

    As runc looks for it. (/dev/tty is open from then on.)
    """
    for number in (2, 1, 0):
        if os.isatty(number):
            return number
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1


def relay(master: int, child: int, terminal: int) -> None:
    """Between our standard input and output and the terminal, until nobody has the other end any more, or ``child``
    has ended. It is left to be waited for.

    A change of our window's size (SIGWINCH) is passed on; ``terminal`` is what has it, or -1.
    """
    import select  # local: only in the foreground

    reader, writer = os.pipe()  # select(2) is woken by it: Python goes on waiting after a signal (PEP 475)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGWINCH, lambda *_: copy_size(master, terminal))
    copy_size(master, terminal)  # it may have changed since the start
    signal.signal(signal.SIGCHLD, lambda *_: None)
    sources = [master, reader, 0]
    while True:
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        ready, _, _ = select.select(sources, [], [], 0 if ended else None)
        if ended and master not in ready:
            return
        if reader in ready:
            os.read(reader, 64)
        if 0 in ready:
            typed = _read(0)
            if typed:
                _write(master, typed)
            else:
                sources.remove(0)
                if not os.isatty(0):
                    _write(master, b"\x04")  # the end of our input is Ctrl-D in there
        if master in ready:
            said = _read(master)
            if not said:
                return
            _write(1, said)


def copy_size(master: int, terminal: int = 0) -> None:
    """Give the container's terminal the size of our own, if we have one."""
    with suppress(OSError, ValueError):  # there is none: -1
        fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError as error:
        if error.errno == errno.EIO:  # the last process has closed the other end
            return b""
        raise


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
