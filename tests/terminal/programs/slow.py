"""A slow program with an editor of its own: raw, bracketed paste on, draws its box 0.1 s late."""

import os
import re
import sys
import termios
import time
import tty

tty.setraw(0, termios.TCSANOW)
os.write(1, b"\x1b[?2004h")
draft = ""


def draw() -> None:
    os.write(1, b"\x1b[?2026h\r\x1b[2K> " + draft.encode() + b"\x1b[?2026l")


draw()
with open(sys.argv[1], "a", buffering=1) as got:  # noqa: PTH123
    while data := os.read(0, 1000):
        time.sleep(0.1)
        for piece in re.split(r"(\x1b\[20[01]~)", data.decode()):
            for letter in "" if piece.startswith("\x1b[20") else piece:
                if letter == "\r":
                    got.write(draft + "\n")
                    os.write(1, b"\r\n")
                    draft = ""
                elif letter == "\x7f":
                    draft = draft[:-1]
                else:
                    draft += letter
        draw()
