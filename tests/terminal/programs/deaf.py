"""A terminal that never takes the text: raw, echoes what is typed, ignores Enter; or (mute) shows nothing."""

import os
import sys
import termios
import tty

mute = sys.argv[2:] == ["mute"]
tty.setraw(0, termios.TCSANOW)
os.write(1, b"> ")
with open(sys.argv[1], "ab", buffering=0) as got:  # noqa: PTH123
    while data := os.read(0, 100):
        got.write(data)
        if b"q" in data:
            break
        if not mute:
            os.write(1, data.replace(b"\r", b""))
