"""Programs of our own in place of the system's, for tests that must see what is and is not installed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="the stand-in programs are shell scripts")


def make_program(directory: Path, name: str, script: str) -> Path:
    """A program that runs ``script`` with sh."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path
