"""A scripted agent that the bridge starts: it reads its prompt, says whose session it is, reads, answers, and ends.

`python -m bridge.demo.started NAME LEDGER RUNG NATIVE_ID [troubles=crash,hang] [needs=FILE]`, as its preset says.

Rules of this file:

- It is somebody else's program: all it knows is its arguments, its environment and its prompt.
- It is started often, so it starts fast: the standard library, and two light modules of the demo.
- It does one thing after the other, with a beat between, so that each can be seen.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridge.demo.brain import reply
from bridge.demo.ledger import Pen

BEAT_S = 0.25
TIMEOUT_S = 10.0
REFUSED = 400
FAILED = 1


class Bridge:
    """The bridge, as the agent's environment says where it is and who the agent is."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._address = urlsplit(environment["BRIDGE_URL"])
        self._token_file = Path(environment["BRIDGE_TOKEN_FILE"])

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call. Raises OSError when nobody answers, ValueError for a refusal."""
        connection = HTTPConnection(self._address.hostname or "", self._address.port, timeout=TIMEOUT_S)
        headers = {
            "Authorization": f"Bearer {self._token_file.read_text().strip()}",
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= REFUSED:
            raise ValueError(f"{method} {path} was refused: {said.get('detail')}")
        return said


def main(argv: list[str]) -> int:
    """Be started once."""
    name, ledger, rung, native_id = argv[1:5]
    options = dict(option.split("=", 1) for option in argv[5:])
    pen = Pen(Path(ledger))
    prompt = sys.stdin.read()
    environment = dict(os.environ)  # noqa: TID251  its own: settings would cost more than all else it does
    pen.note("began", rung=rung, native=native_id, run=environment["BRIDGE_RUN_ID"], prompt=prompt)
    if "needs" in options and not Path(options["needs"]).exists():
        print(f"{name}: {options['needs']} is missing", file=sys.stderr)
        return FAILED
    if "troubles" in options and not _overcome(name, Path(ledger), rung, options["troubles"].split(",")):
        return FAILED
    time.sleep(BEAT_S)
    print(json.dumps({"type": "session", "session_id": native_id}), flush=True)
    _look(Bridge(environment), pen, name, prompt)
    return 0


def _overcome(name: str, ledger: Path, rung: str, troubles: list[str]) -> bool:
    """Its nth start has the nth trouble; later ones have none. Whether it goes on."""
    starts = sum(1 for line in ledger.read_text().splitlines() if json.loads(line).get("rung") == rung)
    trouble = troubles[starts - 1] if starts <= len(troubles) else ""
    if trouble == "crash":
        print(f"{name}: its state cannot be loaded", file=sys.stderr)
        return False
    if trouble == "hang":
        signal.pause()
    return True


def _look(bridge: Bridge, pen: Pen, name: str, prompt: str) -> None:
    """Read everything that is unread, and answer what was asked."""
    time.sleep(BEAT_S)
    asked: list[tuple[str, dict[str, Any], str]] = []
    for item in bridge.call("GET", "/v1/inbox")["items"]:
        thread_id, messages = item["thread_id"], _read(bridge, item)
        if not messages:
            continue
        upto = messages[-1]["seq"]
        bridge.call("PUT", f"/v1/threads/{thread_id}/cursor", {"last_read_seq": upto})
        pen.note("read", thread=thread_id, upto=upto, messages=len(messages))
        words = reply(name, messages, prompt)
        if words is not None:
            asked.append((thread_id, messages[-1], words))
    time.sleep(BEAT_S)
    for thread_id, message, words in asked:
        body = {
            "schema_version": 1,
            "kind": "chat",
            "body": words,
            "to": [message["sender_agent_id"]],
            "in_reply_to": message["message_id"],
        }
        posted = bridge.call("POST", f"/v1/threads/{thread_id}/messages", body)
        pen.note("posted", thread=thread_id, seq=posted["seq"], body=words)


def _read(bridge: Bridge, item: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    since, more = int(item["last_read_seq"]), True
    while more:
        page = bridge.call("GET", f"/v1/threads/{item['thread_id']}/messages?since_seq={since}")
        found += page["items"]
        since, more = int(page["next_seq"]), bool(page["has_more"])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
