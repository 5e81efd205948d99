"""Prompts; and the moment something is typed, asks for an approval that any Enter would give."""

import os
import sys
import termios
import tty

tty.setraw(0, termios.TCSANOW)
os.write(1, b"> ")
with open(sys.argv[1], "a", buffering=1) as got:  # noqa: PTH123
    os.read(0, 1000)
    os.write(1, b"\r\nDelete everything? [y/N] ")
    while data := os.read(0, 1000):
        if b"\r" in data:
            got.write("approved\n")
