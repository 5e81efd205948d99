"""What operators do to a thread: `escalate-thread`, `unblock-thread`, `override-close-thread`.

Each asks the API for one thing after the other, the status first: what is refused there leaves nothing half done, and
a command that was cut off is given again.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import counted, why

Json = dict[str, Any]
OVERRIDE = "human_override:"
ThreadId = Annotated[str, typer.Option("--thread-id", help="The thread.")]
Reason = Annotated[str, typer.Option(help="Why: it is audited, and read by everybody in the thread.")]


def escalate_thread(
    thread_id: ThreadId,
    reason: Reason,
    owner: Annotated[str | None, typer.Option(help="Who is to decide; not given: any operator.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Escalate a thread and block it: nobody but humans is woken there until it is unblocked."""
    with connect(data, url, token_file) as client:
        client.set_status(thread_id, "blocked", reason)
        answer = client.escalate(thread_id, reason, owner)
    show(answer, as_json=as_json, text="\n".join(_escalated(answer)))


def unblock_thread(
    thread_id: ThreadId,
    reason: Reason,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="It is decided: end its escalation too.")
    ] = False,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a blocked thread active again; whoever has something unread there is woken."""
    with connect(data, url, token_file) as client:
        answer = client.thread(thread_id)
        if answer["status"] != "active":
            answer = client.set_status(thread_id, "active", reason, expected="blocked")
        if resolve and answer["escalated"]:
            answer = client.end_escalation(thread_id, reason)
    show(answer, as_json=as_json, text="\n".join(_unblocked(answer)))


def override_close_thread(
    thread_id: ThreadId,
    reason: Annotated[str, typer.Option(help=f"Why, as in '{OVERRIDE} shipped without it'; it is audited.")],
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Close a thread for good, disputed or not: a human takes the responsibility."""
    prefix, _, words = reason.partition(":")
    if f"{prefix}:" != OVERRIDE or not words.strip():
        detail = f"it must begin with {OVERRIDE} and say why, as in --reason '{OVERRIDE} shipped without it'"
        raise typer.BadParameter(detail, param_hint="--reason")
    with connect(data, url, token_file) as client:
        answer = client.set_status(thread_id, "closed", reason)
    text = f"closed: {thread_id}, with {counted(answer['open_findings'], 'open finding')}"
    show(answer, as_json=as_json, text=text)


def _escalated(answer: Json) -> list[str]:
    raised, thread_id = answer["escalation"], answer["thread_id"]
    owner = raised["owner"]
    lines = [f"escalated to {owner or 'any operator'} and {answer['status']}: {why(raised['reason'])}"]
    if owner is not None:
        takes_part = owner in [one["agent_id"] for one in answer["participants"]]
        lines.append(
            f"{owner} is told in the thread; a human is woken now, an agent once it is unblocked"
            if takes_part
            else f"{owner} takes no part in the thread, and is told by a notice in its inbox"
        )
    return [
        *lines,
        f"how it stands: bridge inspect-thread --thread-id {thread_id}",
        f"once decided: bridge unblock-thread --thread-id {thread_id} --resolve --reason WHY",
    ]


def _unblocked(answer: Json) -> list[str]:
    raised, thread_id = answer["escalation"], answer["thread_id"]
    lines = [f"active: {thread_id}"]
    if raised is not None:
        to = raised["owner"] or "any operator"
        lines.append(f"still escalated to {to}; add --resolve once it is decided")
    return lines
