"""`bridge post`, `read` and `inbox`: all that an agent with nothing but a shell needs.

What others wrote is shown without what steers a terminal, and only its own message's line begins at the margin.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, parse_object, show
from bridge.cli.words import said, why


def post(
    thread_id: Annotated[str, typer.Argument(help="The thread.")],
    body: Annotated[str, typer.Argument(help="The text; `-` reads it from standard input.")],
    to: Annotated[list[str] | None, typer.Option(help="Wake only this agent (again for more).")] = None,
    to_role: Annotated[str | None, typer.Option(help="Wake whoever holds this role.")] = None,
    event: Annotated[str | None, typer.Option(help="An event as JSON, with its `type`.")] = None,
    in_reply_to: Annotated[
        str | None, typer.Option(help="The message this answers; you have read it.")
    ] = None,
    last_read_seq: Annotated[int | None, typer.Option(help="You have read up to here.")] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Wake also those who listen, at once.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same again is one message.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Post a message to a thread; whoever it is for is woken."""
    fields: dict[str, Any] = {"to": to or None, "to_role": to_role, "in_reply_to": in_reply_to}
    fields |= {"last_read_seq": last_read_seq, "urgent": urgent or None}
    found = parse_object(event, "--event")
    if found is not None:
        fields |= {"kind": "event", "event": found}
    with connect(data, url, token_file) as client:
        answer = client.post(thread_id, sys.stdin.read() if body == "-" else body, key=key, **fields)
    show(answer, as_json=as_json, text="\n".join(_posted(thread_id, answer)))


def _posted(thread_id: str, answer: dict[str, Any]) -> list[str]:
    woken = ", ".join(f"{wake['agent_id']} ({wake['state']})" for wake in answer.get("wakes", []))
    wakes = f"wakes: {woken}" if woken else "nobody is woken"
    taken = [
        f"taken out by the content filter: {why(one['path'])} ({one['kind']})"
        for one in answer.get("redacted", [])
    ]
    return [f"posted {answer['seq']} in {thread_id}; {wakes}", *taken]


def read(
    thread_id: Annotated[str, typer.Argument(help="The thread.")],
    since: Annotated[int, typer.Option(help="Only messages after this seq.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    ack: Annotated[bool, typer.Option("--ack", help="Say that you have read what is shown.")] = False,
    wait: Annotated[float, typer.Option(min=0, max=60, help="Wait so many seconds for news.")] = 0,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Read a thread's messages, the oldest first."""
    with connect(data, url, token_file) as client:
        page = client.read(thread_id, since_seq=since, limit=limit, wait_s=wait)
        last = max((message["seq"] for message in page["items"]), default=0)
        if ack and last:
            client.move_cursor(thread_id, last)
    show(page, as_json=as_json, text=_page(thread_id, page, last, acked=ack))


def _page(thread_id: str, page: dict[str, Any], last: int, *, acked: bool) -> str:
    lines = [line for message in page["items"] for line in _message(message)]
    if not lines:
        return "nothing new"
    if page.get("has_more"):
        lines.append(f"-- more: bridge read {thread_id} --since {last}")
    if acked:
        lines.append(f"-- read up to {last}")
    else:
        lines.append(f"-- say that you read it: bridge read {thread_id} --since {last - 1} --ack")
    return "\n".join(lines)


def _message(message: dict[str, Any]) -> list[str]:
    event = dict(message.get("event") or {})
    what = f" [{kind}]" if (kind := event.pop("type", None)) else ""
    body = message["body"]
    if message.get("redacted"):
        body = f"[redacted by {message['redacted_by']}]"
    first, *more = said(body)
    more += said(json.dumps(event, ensure_ascii=False)) if event else []
    head = f"{message['seq']} {message['sender_agent_id']}{what} ({message['message_id']}): {first}"
    return [head.rstrip(), *(f"    {line}" for line in more)]


def inbox(
    wait: Annotated[float, typer.Option(min=0, max=60, help="Wait so many seconds for news.")] = 0,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Show the threads with something unread, and what to do next."""
    with connect(data, url, token_file) as client:
        answer = client.inbox(wait_s=wait)
    show(answer, as_json=as_json, text=_inbox(answer))


def _inbox(answer: dict[str, Any]) -> str:
    lines = []
    for item in answer.get("items", []):
        since = item["last_read_seq"]
        lines.append(f"{item['unread']} unread in {item['thread_id']} ({why(item['title'])})")
        lines.append(f"   bridge read {item['thread_id']} --since {since} --ack")
    lines += [f"notice: {why(notice['text'])}" for notice in answer.get("notices", [])]
    return "\n".join(lines) or "nothing unread"
