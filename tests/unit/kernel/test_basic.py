"""What stands in for the standard modules ``socket`` and ``signal`` has all that the guest side uses of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import labkit
from labkit.kernel import basicsignal, basicsocket

LIBRARY = Path(labkit.__file__).parent


@pytest.mark.parametrize(("name", "module"), [("signal", basicsignal), ("socket", basicsocket)])
def test_everything_that_is_used_is_there(name: str, module: object) -> None:
    # A type checker takes it for the standard module, so that it cannot tell.
    users = 0
    for path in LIBRARY.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if f"import basic{name} as {name}\n" in text:
            users += 1
            used = set(re.findall(rf"(?<![\w.]){name}\.(\w+)", text))
            assert not {word for word in used if not hasattr(module, word)}, path
    assert users > 3


def test_a_pair_carries_what_is_sent_and_a_with_closes_it() -> None:
    ours, theirs = basicsocket.socketpair()
    with ours, theirs:
        ours.sendall(b"word")
        assert theirs.recv(10) == b"word"
    assert (ours.fileno(), theirs.fileno()) == (-1, -1)


def test_a_listener_gives_a_connection_of_the_same_kind() -> None:
    with basicsocket.socket(basicsocket.AF_INET) as listener, basicsocket.socket(basicsocket.AF_INET) as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        connection, address = listener.accept()
        with connection:
            assert type(connection) is type(listener)
            assert address == client.getsockname()
            assert not os.get_inheritable(connection.fileno())
