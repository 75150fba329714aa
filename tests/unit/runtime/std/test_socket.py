from __future__ import annotations

import os

from labkit.runtime.std import signal, socket


def test_signals_are_plain_numbers_and_what_is_missing_is_the_originals() -> None:
    assert type(signal.SIGTERM) is int
    assert signal.Signals(signal.SIGTERM).name == "SIGTERM"


def test_a_pair_carries_what_is_sent_and_a_with_closes_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"word")
        assert theirs.recv(10) == b"word"
    assert (ours.fileno(), theirs.fileno()) == (-1, -1)


def test_a_listener_gives_a_connection_of_the_same_kind() -> None:
    with socket.socket(socket.AF_INET) as listener, socket.socket(socket.AF_INET) as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        connection, address = listener.accept()
        with connection:
            assert type(connection) is type(listener)
            assert address == client.getsockname()
            assert not os.get_inheritable(connection.fileno())
