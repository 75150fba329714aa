from __future__ import annotations

import subprocess
import sys

import pytest

from labkit.errors import KernelError
from labkit.runtime.storage import DRIVERS, driver, overlay


def test_the_topmost_layer_comes_first_and_colons_are_escaped() -> None:
    assert overlay.options(["/l/2", "/l/1:odd"], "/u", "/w") == (
        "lowerdir=/l/2:/l/1\\:odd",
        "upperdir=/u",
        "workdir=/w",
    )


def test_more_options_than_a_page_are_refused_before_anything_is_mounted() -> None:
    with pytest.raises(KernelError, match="60 layers need mount options of more than 4095 bytes"):
        overlay.operations("/r", [f"/var/lib/labkit/layers/{'0' * 64}/fs"] * 60, "/u", "/w")


def test_drivers_are_named_in_one_place() -> None:
    for module in map(driver, DRIVERS):
        assert callable(module.operations)


def test_only_the_driver_that_is_asked_for_is_imported() -> None:
    """Each start of a container pays for what is imported."""
    code = "import sys; from labkit.runtime import storage; storage.driver('overlay'); print(sorted(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'labkit.runtime.storage.overlay'" in printed
    assert "'labkit.runtime.storage.aufs'" not in printed
