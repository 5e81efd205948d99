"""`bridge inspect-thread`: who takes part and what is unread, what was said, which wakes stand how, what is disputed.

Read out of the API's own answers, each bounded; what others wrote is shown without what steers a terminal.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.standing import stands
from bridge.cli.words import ago, columns, counted, why
from bridge.client import Client
from bridge.core.quoting import harmless

Json = dict[str, Any]
MESSAGES_MAX = 50
BODY_CHARS_MAX = 100
WAKES_MAX = 20
STORIES_MAX = 5
"""The newest wakes, open ones first, whose attempts are shown too."""
OPEN = frozenset({"pending", "delivering", "touching", "waiting"})


def inspect_thread(
    thread_id: Annotated[str, typer.Option("--thread-id", help="The thread.")],
    messages: Annotated[
        int, typer.Option(min=1, max=MESSAGES_MAX, help="So many of the newest messages.")
    ] = 10,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Show how a thread stands: participants, messages, wakes and their attempts, findings, escalation."""
    with connect(data, url, token_file) as client:
        found = _collect(client, thread_id, messages)
    show(found, as_json=as_json, text="\n".join(_lines(found)))


def _collect(client: Client, thread_id: str, messages: int) -> Json:
    thread = client.thread(thread_id)
    page = client.read(thread_id, since_seq=max(0, thread["last_seq"] - messages), limit=messages)
    wakes = client.wakes(thread=thread_id, limit=WAKES_MAX)
    wanted = sorted(wakes["items"], key=lambda wake: wake["state"] not in OPEN)[:STORIES_MAX]
    return {
        "now": wakes["now"],
        "thread": thread,
        "messages": page["items"],
        "wakes": wakes["items"],
        "more_wakes": wakes["next_cursor"] is not None,
        "attempts": {wake["wake_id"]: client.explain(wake["wake_id"])["attempts"] for wake in wanted},
        "findings": client.summary(thread_id)["open_findings"],
    }


def _lines(found: Json) -> list[str]:
    return [*_head(found), "", *_people(found), "", *_messages(found), "", *_wakes(found), *_findings(found)]


def _head(found: Json) -> list[str]:
    thread, now = found["thread"], found["now"]
    status = thread["status"] + (", stalled" if thread["stalled"] else "")
    because = f": {why(thread['blocked_reason'])}" if thread["blocked_reason"] else ""
    turns = counted(thread["turns"], "turn") + " without progress"
    findings = counted(thread["open_findings"], "open finding")
    return [
        f"{thread['thread_id']} ({thread['type']}): {why(thread['title'])}",
        f"  status    {status}{because}",
        f"  messages  {thread['last_seq']}, {turns}, {findings}",
        *_escalation(thread["escalation"], now),
        f"  began     {ago(thread['created_at'], now)}, by {why(thread['created_by'])}",
    ]


def _escalation(raised: Json | None, now: str) -> list[str]:
    if raised is None:
        return []
    to = raised["owner"] or "any operator"
    return [f"  escalated {ago(raised['at'], now)}, by {raised['by']} to {to}: {why(raised['reason'])}"]


def _people(found: Json) -> list[str]:
    people = found["thread"]["participants"]
    rows = [
        (one["agent_id"], one["role"] or "-", str(one["last_read_seq"]), str(one["unread"])) for one in people
    ]
    return columns(("PARTICIPANT", "ROLE", "READ TO", "UNREAD"), rows)


def _messages(found: Json) -> list[str]:
    lines = []
    for one in found["messages"]:
        kind = (one.get("event") or {}).get("type")
        what = f" [{harmless(str(kind), 64)}]" if kind else ""
        body = harmless(" ".join((one["body"] or "").split()), BODY_CHARS_MAX)
        if one.get("redacted"):
            body = f"[redacted by {one['redacted_by']}]"
        lines.append(
            f"  {one['seq']} {one['sender_agent_id']}{what} {ago(one['created_at'], found['now'])}: {body}".rstrip()
        )
    return ["the newest messages", *lines] if lines else ["no messages"]


def _wakes(found: Json) -> list[str]:
    if not found["wakes"]:
        return ["no wakes"]
    lines = ["the newest wakes" if found["more_wakes"] else "wakes"]
    for wake in found["wakes"]:
        state = f"{wake['state']} ({wake['reason']})" if wake["state"] == "pending" else wake["state"]
        how = stands(wake)
        lines.append(
            f"  {wake['wake_id']} {wake['agent_id']}, up to {wake['target_seq']}: {state}"
            + (f"; {how}" if how else "")
        )
        for number, tried in enumerate(found["attempts"].get(wake["wake_id"], ()), start=1):
            result = tried["result"] or ("was taken" if tried["accepted_at"] else "under way")
            said = f": {why(tried['why'])}" if tried["why"] else ""
            begun = ago(tried["begun_at"], found["now"])
            lines.append(
                f"      try {number} {tried['rung']} in {tried['session_id']}, {begun}: {result}{said}"
            )
    return lines


def _findings(found: Json) -> list[str]:
    if not found["findings"]:
        return []
    lines = ["", "open findings"]
    for one in found["findings"]:
        place = f" {harmless(one['file'], 200)}" if one["file"] else ""
        place += f":{one['line']}" if place and one["line"] is not None else ""
        text = harmless(one["text"], BODY_CHARS_MAX)
        lines.append(f"  {one['finding_id']} ({one['status']}, seq {one['opened_seq']}){place}: {text}")
    return lines
