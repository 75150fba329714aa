"""What both programs do about their standard input, output and error."""

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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the end


def lead_nowhere() -> int:
    """Whoever read our output has enough: head(1), less(1). Nothing may be flushed to it at exit; our status."""
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return 141  # 128 + SIGPIPE
