"""What we need of the standard ``socket``, without its import: 2 ms, since it makes enumerations of all constants.

Both are the same C module; what the standard one adds in Python and we use is here.
"""

from __future__ import annotations

import os

from labkit.basics import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import *  # noqa: F403 - a type checker sees the standard one
else:
    import _socket
    from _socket import *  # noqa: F403

    class socket(_socket.socket):  # noqa: N801 - its name there
        """As socket.socket: one that a ``with`` closes."""

        def __enter__(self):
            """Itself."""
            return self

        def __exit__(self, *_):
            """Close it."""
            self.close()

        def accept(self):
            """The connection, and the peer's address."""
            descriptor, address = self._accept()
            return socket(fileno=descriptor), address

    def socketpair():
        """Two connected ones of AF_UNIX."""
        return tuple(socket(fileno=end.detach()) for end in _socket.socketpair())


@contextmanager
def short_path(path: str) -> Iterator[str]:
    """Another way to a path, as long as the ``with`` lasts: a socket's takes 107 bytes (unix(7), sun_path), and the way
    through /proc is short however long the directory's is. OSError where there is no such directory.
    """
    directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
