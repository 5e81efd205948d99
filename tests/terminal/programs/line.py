"""A `line` agent: prompts, reads a line, tells what it got, works for as long as it is told to."""

import sys
import time

got = open(sys.argv[1], "a", buffering=1)  # noqa: PTH123, SIM115  open for as long as the program lives
prompt = sys.argv[2] if len(sys.argv) > 2 else "> "
while True:
    try:
        line = input(prompt)
    except EOFError:
        break
    except KeyboardInterrupt:
        got.write("^C\n")
        print()
        continue
    got.write(line + "\n")
    word, _, rest = line.partition(" ")
    if word == "work":
        print("working")
        time.sleep(float(rest))
    elif word == "ask":
        got.write("answer:" + input("Apply this change? [y/N] ") + "\n")
    elif word == "exit":
        sys.exit(int(rest))
    else:
        print("got", line)
