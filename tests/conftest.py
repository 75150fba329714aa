"""What all tests share. It is carried into the machine too, so it needs only the standard library and pytest."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Sequence

import pytest


def is_root_on_linux() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


def pytest_configure() -> None:
    """Ctrl-C means something, also to a run that a shell has started in the background (there it is ignored)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Which kernel and rights a result is about: the first thing to know when it differs elsewhere."""
    rights = "root" if is_root_on_linux() else "not root"
    return f"labkit: {platform.system()} {platform.release()} on {platform.machine()}, {rights}"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    if is_root_on_linux():
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root on Linux"))
