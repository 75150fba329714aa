"""What both programs do first about their standard input, output and error."""

from __future__ import annotations

import os
import sys


def have_three() -> None:
    """Who was started with standard input, output or error closed would open files in their places."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            break
    for name, mode in (("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the end
