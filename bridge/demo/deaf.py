"""A program that never takes a line: it shows what is typed, and ignores Enter.

`python -m bridge.demo.deaf NAME LEDGER` under `bridge run`. Its ledger has every byte that came.
"""

from __future__ import annotations

import os
import sys
import termios
import tty
from pathlib import Path

from bridge.demo.ledger import Pen


def main(argv: list[str]) -> int:
    """Show letters, ignore Enter, until the terminal is gone."""
    pen = Pen(Path(argv[2]))
    tty.setraw(0, termios.TCSANOW)
    os.write(1, b"> ")
    pen.note("began")
    while data := _typed():
        pen.note("got", text=data.decode(errors="replace"))
        os.write(1, data.replace(b"\r", b""))
    return 0


def _typed() -> bytes:
    try:
        return os.read(0, 4096)
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
