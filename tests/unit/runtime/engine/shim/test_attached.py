from __future__ import annotations

import os

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import InfrastructureError
from labkit.runtime.engine.shim.attached import Foreground
from labkit.runtime.engine.shim.wire import Line, Pipes
from labkit.runtime.std import socket


@pytest.mark.parametrize(
    ("typed", "given", "detached"),
    [
        ([b"ab"], b"ab", False),
        ([b"a", b"\x10", b"b"], b"a\x10b", False),
        ([b"\x10", b"\x10", b"\x11", b"late"], b"\x10", True),
        ([b"ab\x10\x11cd"], b"ab", True),
        ([b"\x11\x10"], b"\x11", False),
    ],
)
def test_the_detach_keys_are_ours_and_each_alone_is_the_containers(
    typed: list[bytes], given: bytes, detached: bool
) -> None:
    foreground = Foreground(None, os.getpid(), Pipes(), -1, terminal=True)  # type: ignore[arg-type]
    written = b""
    for data in typed:
        if not foreground.detached:
            written += foreground._without_detach_keys(data)
    assert (written, foreground.detached) == (given, detached)


def test_whose_end_it_was_that_nobody_told() -> None:
    ours, theirs = socket.socketpair()
    foreground = Foreground(Line(ours), os.getpid(), Pipes(), -1, terminal=False)
    theirs.close()
    with pytest.raises(InfrastructureError, match="shim died"):
        foreground._carry()
    foreground.lost = ("another one died", "")
    with pytest.raises(InfrastructureError, match="another one died"):
        foreground._carry()
    ours.close()
