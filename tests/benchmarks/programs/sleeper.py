"""A light agent that the bridge starts: it says whose session it is, reads what is unread, answers, and ends.

`python -I -S sleeper.py NATIVE_ID`. The standard library alone: 500 of them are started one after the other.
"""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

TIMEOUT_S = 20.0
REFUSED = 400


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call, as the agent that the environment says we are."""
    environment = os.environ  # noqa: TID251  a program of its own: it knows nothing of our settings
    host, _, port = environment["BRIDGE_URL"].removeprefix("http://").partition(":")
    token = Path(environment["BRIDGE_TOKEN_FILE"]).read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    said: dict[str, Any] = json.loads(answer.read())
    connection.close()
    if answer.status >= REFUSED:
        raise SystemExit(f"{method} {path}: {answer.status} {said.get('detail')}")
    return said


def main(native_id: str) -> None:
    """Be started once."""
    sys.stdin.read()
    print(json.dumps({"type": "session", "session_id": native_id}), flush=True)
    for item in call("GET", "/v1/inbox")["items"]:
        thread = f"/v1/threads/{item['thread_id']}"
        messages = call("GET", f"{thread}/messages?since_seq={item['last_read_seq']}&limit=200")["items"]
        asked = [message for message in messages if message["sender_agent_id"] == "sender"]
        if messages:
            call("PUT", f"{thread}/cursor", {"last_read_seq": messages[-1]["seq"]})
        for message in asked:
            answer = {"body": "read", "to": ["sender"], "in_reply_to": message["message_id"]}
            call("POST", f"{thread}/messages", answer)


if __name__ == "__main__":
    main(sys.argv[1])
