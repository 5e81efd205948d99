"""`bridge summary`: how a thread stands, for whoever was not there."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.core.quoting import harmless, quoted
from bridge.core.summary import EXCERPT_CHARS_MAX, MESSAGES_DEFAULT, MESSAGES_MAX

LINES_MAX = 12


def summary(
    thread_id: Annotated[str, typer.Argument(help="The thread.")],
    max_messages: Annotated[
        int, typer.Option(min=1, max=MESSAGES_MAX, help="At most so many key messages.")
    ] = MESSAGES_DEFAULT,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Sum a thread up: findings, decisions, the last status change, the messages that matter most."""
    with connect(data, url, token_file) as client:
        answer = client.summary(thread_id, max_messages=max_messages)
    show(answer, as_json=as_json, text="\n".join(_lines(answer)))


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [
        f"{answer['thread_id']} {answer['status']}, {answer['last_seq']} messages",
        *_said(answer["title"]),
    ]
    change = answer["last_status"]
    if change:
        lines += [f"{change['status']} since {change['at']}, by {change['by']}", *_said(change["why"] or "")]
    for name in ("open_findings", "closed_findings"):
        for one in answer[name]:
            lines.append(f"finding {one['finding_id']} ({one['status']}, seq {one['opened_seq']})")
            place = f"{one['file'] or ''}{'' if one['line'] is None else ':' + str(one['line'])}"
            lines += _said(" ".join(part for part in (place, one["severity"] or "", one["text"]) if part))
    if answer["more_findings"]:
        lines.append("and more findings")
    for one in answer["decisions"]:
        lines += [f"decision {one['seq']} by {one['sender_agent_id']}", *_said(one["text"])]
    for one in answer["key_messages"]:
        waits = f", waits for {', '.join(one['waits_for'])}" if one["waits_for"] else ""
        what = f" [{harmless(one['event_type'], 64)}]" if one["event_type"] else ""
        lines += [f"{one['seq']} {one['sender_agent_id']}{what}{waits}", *_said(one["text"])]
    return lines


def _said(text: str) -> tuple[str, ...]:
    return quoted(text, chars_max=EXCERPT_CHARS_MAX, lines_max=LINES_MAX) if text.strip() else ()
