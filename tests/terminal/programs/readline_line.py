"""A `line` agent whose prompt is edited by GNU readline, as shells and interpreters do it."""

import readline
import sys

readline.parse_and_bind("set enable-bracketed-paste on")
with open(sys.argv[1], "a", buffering=1) as got:  # noqa: PTH123
    while True:
        line = input("review> ")
        got.write(line + "\n")
        print("got", line)
