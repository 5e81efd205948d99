"""A scripted agent that only reads: `reader.py started LEDGER NATIVE_ID BEFORE AFTER_S`, or `reader.py typed LEDGER`.

Rules of this file:

- It is somebody else's program: the standard library, its arguments, its environment, nothing else.
- Started, it thinks before it reads (so many seconds, or as long as a file is there) and works after it, beside a
  helper in a session of its own; then it ends. Typed to (`bridge run`), it has a prompt and looks into its inbox when
  a line says so.
- What it did goes to the ledger, one JSON object a line, by the clock that all processes of the machine share.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

TIMEOUT_S = 10.0
RETRY_S = 0.5
LOOK_S = 0.2
RETRIES = 120
REFUSED = 400
HERE = os.environ  # noqa: TID251  a program of its own: it knows nothing of our settings


def note(ledger: str, event: str, **facts: Any) -> None:  # noqa: ANN401 - JSON
    """One line, whole."""
    who = {
        "at": time.clock_gettime(time.CLOCK_BOOTTIME),
        "agent": HERE.get("BRIDGE_AGENT_ID"),
        "run": HERE.get("BRIDGE_RUN_ID"),
        "host": HERE.get("BRIDGE_HOST_NAME"),
        "event": event,
    }
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps(who | facts).encode() + b"\n")
    os.close(descriptor)


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call. Raises OSError when nobody answers, ValueError for a refusal."""
    host, _, port = HERE["BRIDGE_URL"].removeprefix("http://").partition(":")
    token = Path(HERE["BRIDGE_TOKEN_FILE"]).read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        said: dict[str, Any] = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status >= REFUSED:
        raise ValueError(f"{method} {path}: {answer.status} {said.get('detail')}")
    return said


def read_all(ledger: str) -> None:
    """Read everything that is unread, and say so."""
    for item in call("GET", "/v1/inbox")["items"]:
        thread = f"/v1/threads/{item['thread_id']}"
        messages = call("GET", f"{thread}/messages?since_seq={item['last_read_seq']}&limit=200")["items"]
        if messages:
            upto = messages[-1]["seq"]
            # First what we know, then the ack: a cut may lose the answer to an ack that was heard.
            note(ledger, "read", thread=item["thread_id"], upto=upto)
            call("PUT", f"{thread}/cursor", {"last_read_seq": upto})


def started(ledger: str, native_id: str, before: str, after_s: float) -> None:
    """Be started by the bridge, once."""
    sys.stdin.read()
    if after_s:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    note(ledger, "began")
    print(json.dumps({"type": "session", "session_id": native_id}), flush=True)
    if before.startswith("/"):
        while Path(before).exists():
            time.sleep(LOOK_S)
    else:
        time.sleep(float(before))
    read_all(ledger)
    time.sleep(after_s)
    note(ledger, "ended")


def typed(ledger: str) -> None:
    """Sit in a terminal until it is closed."""
    while True:
        try:
            line = input("> ")
        except EOFError:
            return
        if line.startswith("Wakebridge:"):
            note(ledger, "saw")
            for _ in range(RETRIES):
                with contextlib.suppress(OSError, ValueError, HTTPException):
                    read_all(ledger)
                    break
                time.sleep(RETRY_S)


if __name__ == "__main__":
    if sys.argv[1] == "typed":
        typed(sys.argv[2])
    else:
        started(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]))
