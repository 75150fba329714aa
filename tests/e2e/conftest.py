"""What the end-to-end tests share: a machine that is up.

``invoke test`` brings its own state directory. Alone, these tests make one, and destroy the machine at their end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from labkit.host.lab import config
from labkit.host.machines import open_machine
from labkit.host.machines.base import Machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine as after its reset."""
    with pytest.MonkeyPatch.context() as patch:
        own = "LABKIT_STATE" not in os.environ
        if own:
            patch.setenv("LABKIT_STATE", str(tmp_path_factory.mktemp("state")))
        it = open_machine(config.load().machine())
        it.up()
        it.reset()
        yield it
        if own:
            it.destroy()
