"""What we need of the standard ``socket``, without its import: 2 ms, since it makes enumerations of all constants.

Both are the same C module; what the standard one adds in Python and we use is here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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
