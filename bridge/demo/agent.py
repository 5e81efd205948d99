"""A scripted agent in a terminal: a prompt, and when a wake's line appears, it reads its inbox and acts.

`python -m bridge.demo.agent NAME LEDGER` under `bridge run`, which tells it who it is and where its token lies. It has
nothing else: no connection that waits, no thread, no timer. What makes it look is the line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bridge.client import ApiError, Client, TokenFile
from bridge.config import load_settings
from bridge.demo.brain import Act, answer
from bridge.demo.ledger import POINTER, Pen


def main(argv: list[str]) -> int:
    """Read lines until there are no more."""
    name, pen = argv[1], Pen(Path(argv[2]))
    settings = load_settings()
    if settings.url is None or settings.token_file is None:
        print("this runs under `bridge run`", file=sys.stderr)
        return 2
    with Client(settings.url, TokenFile(settings.token_file)) as client:
        pen.note("began")
        while True:
            try:
                line = input("> ")
            except (EOFError, KeyboardInterrupt):
                return 0
            pen.note("saw", line=line)
            if line.startswith(POINTER):
                _look(name, client, pen)
            elif line:
                print(f"noted: {line}")


def _look(name: str, client: Client, pen: Pen) -> None:
    for item in client.inbox()["items"]:
        try:
            _read(name, client, pen, item)
        except ApiError as refused:
            pen.note("was refused", code=refused.code, detail=refused.detail, thread=item["thread_id"])
            print(f"refused: {refused.detail}")


def _read(name: str, client: Client, pen: Pen, item: dict[str, Any]) -> None:
    thread_id, cursor = item["thread_id"], int(item["last_read_seq"])
    messages: list[dict[str, Any]] = []
    more = True
    while more:
        page = client.read(thread_id, since_seq=cursor)
        messages += page["items"]
        cursor, more = int(page["next_seq"]), bool(page["has_more"])
    for message in messages:
        print(f"[{message['seq']}] {message['sender_agent_id']}: {message['body']}")
    act = answer(name, messages)
    if act is None:
        client.move_cursor(thread_id, cursor)
        pen.note("read", thread=thread_id, upto=cursor, messages=len(messages))
        return
    pen.note("read", thread=thread_id, upto=cursor, messages=len(messages))
    _act(client, pen, thread_id, act, cursor)


def _act(client: Client, pen: Pen, thread_id: str, act: Act, cursor: int) -> None:
    """Answer; saying how far it has read with the answer is the ack."""
    posted = client.post(
        thread_id,
        act.body,
        kind="event" if act.event else "chat",
        event=act.event,
        to=[act.to],
        last_read_seq=cursor,
    )
    what = act.event["type"] if act.event else "chat"
    pen.note(
        "posted",
        thread=thread_id,
        type=what,
        seq=posted["seq"],
        wakes={wake["agent_id"]: wake["wake_id"] for wake in posted["wakes"]},
        status=posted["thread_status"],
    )
    if act.resolve:
        client.set_status(thread_id, "resolved", act.resolve)
        pen.note("resolved", thread=thread_id)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
