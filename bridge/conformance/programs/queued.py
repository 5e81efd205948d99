"""A fake program's own queue: it takes one line for the fake in the terminal, or does what queues do wrong."""

import json
import os
import sys
import time
from typing import Final

HANGS_S: Final = 30.0


def main() -> None:
    """`queued {JSON} ID LINE`."""
    told, line = json.loads(sys.argv[-3]), sys.argv[-1]
    if told["queue"] == "refuses":
        sys.stderr.write("Error: thread/queue failed: no rollout found for thread id\n")
        sys.exit(1)
    if told["queue"] == "hangs":
        time.sleep(HANGS_S)
    if told["queue"] in {"takes", "late"}:
        fd = os.open(told["path"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, line.encode() + b"\n")
