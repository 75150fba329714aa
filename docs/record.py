"""Draw what a command prints in a terminal: run it in a pseudo-terminal, keep its colours, write an SVG.

    python docs/record.py docs/redis-nat.svg --from "PONG" -- invoke scenario redis-nat

``--from WORDS`` and ``--to WORDS`` cut the picture to the lines from the first that holds the one to the first after it
that holds the other. The picture is of a real run, and of nothing else: what the command did not print is not in it.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 104


def run_in_terminal(command: list[str]) -> tuple[bytes, int]:
    """What the command wrote to its terminal of COLUMNS columns, and its exit status."""
    written = bytearray()

    def read(terminal: int) -> bytes:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        data = os.read(terminal, 65536)
        written.extend(data)
        return data

    os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color")
    status = pty.spawn(command, read)
    return bytes(written), os.waitstatus_to_exitcode(status)


def settled(output: bytes) -> list[Text]:
    """The lines as they stand at the end: of what was written over in place (spinners) only the last state counts."""
    lines = []
    for line in output.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        last = line.split("\r")[-1]
        if "\x1b[2K" in line or "\x1b[?25" in line:
            last = line.split("\x1b[2K")[-1].replace("\x1b[?25h", "").replace("\x1b[?25l", "")
            if not last.strip():
                continue
        lines.append(Text.from_ansi(last))
    return lines


def cut(lines: list[Text], first: str, last: str) -> list[Text]:
    """The part that the picture is to show."""
    start = next((number for number, line in enumerate(lines) if first in line.plain), 0) if first else 0
    end = next((number for number, line in enumerate(lines) if number > start and last in line.plain), len(lines) - 1)
    return lines[start : end + 1] if last else lines[start:]


def main() -> int:
    """Run, draw, and end with the command's own status; a command that fails is not drawn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--from", dest="first", default="", metavar="WORDS")
    parser.add_argument("--to", dest="last", default="", metavar="WORDS")
    parser.add_argument("--title", default="")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    output, status = run_in_terminal(options.command)
    if status == 0:
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
        for line in cut(settled(output), options.first, options.last):
            console.print(line, overflow="fold")
        svg = console.export_svg(title=options.title or " ".join(options.command))
        # The fonts would be fetched from elsewhere; the reader's own monospaced one does.
        options.picture.write_text(re.sub(r"@font-face \{.*?\}\s*|Fira Code, ", "", svg, flags=re.DOTALL), "utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
