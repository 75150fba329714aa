"""socket: the C module, and of the original's Python what is used here; it makes enumerations of all constants."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import *
else:
    import _socket
    import struct
    from _socket import *

    class socket(_socket.socket):
        """One that a ``with`` closes."""

        def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
            if fileno is None:
                family = AF_INET if family == -1 else family
                type = SOCK_STREAM if type == -1 else type
                proto = 0 if proto == -1 else proto
            _socket.socket.__init__(self, family, type, proto, fileno)

        def __enter__(self):
            """Itself."""
            return self

        def __exit__(self, *args):
            """Close it."""
            self.close()

        def accept(self):
            """The connection, and the peer's address."""
            descriptor, address = self._accept()
            return socket(self.family, self.type, self.proto, fileno=descriptor), address

    def socketpair(family=None, type=SOCK_STREAM, proto=0):
        """Two connected ones; of AF_UNIX unless another family is named."""
        ends = _socket.socketpair(AF_UNIX if family is None else family, type, proto)
        return tuple(socket(fileno=end.detach()) for end in ends)

    def send_fds(sock, buffers, fds, flags=0, address=None):
        """Bytes, and descriptors with them (unix(7), SCM_RIGHTS)."""
        return sock.sendmsg(buffers, [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])

    def recv_fds(sock, bufsize, maxfds, flags=0):
        """Bytes, the descriptors that came with them, flags, and the sender's address."""
        size = struct.calcsize("i")
        data, ancillary, flags, address = sock.recvmsg(bufsize, CMSG_LEN(maxfds * size))
        fds = []
        for level, kind, contents in ancillary:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                fds += struct.unpack(f"{len(contents) // size}i", contents[: len(contents) // size * size])
        return data, fds, flags, address

    __getattr__ = original("socket")
