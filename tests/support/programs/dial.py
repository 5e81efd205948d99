"""Dials a host's socket as whoever runs it, says one line, and prints the answer, or what stood in the way.

Arguments: the socket; the line as JSON, to which the own pid is added, or nothing to say nothing.
It runs in any bare interpreter.
"""

import errno
import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as line:
    line.settimeout(20)
    try:
        line.connect(sys.argv[1])
        if sys.argv[2]:
            line.sendall(json.dumps({"pid": os.getpid(), **json.loads(sys.argv[2])}).encode() + b"\n")
        print(line.makefile().readline(), flush=True)
    except OSError as error:
        print(json.dumps({"op": errno.errorcode.get(error.errno or 0, "")}), flush=True)
