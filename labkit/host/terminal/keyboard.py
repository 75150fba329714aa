"""What the reader types."""

from __future__ import annotations

import sys


def forget_what_was_typed() -> None:
    """Drop what was typed before anything was asked: an impatient Enter must not answer the next question.

    Nothing where standard input is no terminal: a file is no impatient reader.
    """
    if not sys.stdin.isatty():
        return
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)
