"""`bridge search`: messages by their words. What others wrote is shown without what steers a terminal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import clock, why
from bridge.core.quoting import harmless
from bridge.core.search import SNIPPET_CHARS_MAX
from bridge.core.states import MessageKind

SHOWN_CHARS_MAX = 8 * SNIPPET_CHARS_MAX
"""A letter that is not shown as it is takes eight."""


def search(
    query: Annotated[str, typer.Argument(help='Words; "a phrase", -without, this or that.')],
    thread: Annotated[str | None, typer.Option(help="Only in this thread.")] = None,
    sender: Annotated[str | None, typer.Option(help="Only what this agent wrote.")] = None,
    kind: Annotated[MessageKind | None, typer.Option(help="Only messages of this kind.")] = None,
    since: Annotated[str | None, typer.Option(help="From then on, as 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last answer ended.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Find messages by their words, the newest first."""
    filters = {"thread": thread, "sender": sender, "kind": kind, "since": since, "until": until}
    with connect(data, url, token_file) as client:
        page = client.search(query, limit=limit, cursor=cursor, **filters)
    show(page, as_json=as_json, text="\n".join(_lines(page)))


def _lines(page: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for item in page["items"]:
        what = f" [{harmless(item['event_type'], 64)}]" if item["event_type"] else ""
        head = (
            f"{item['thread_id']} {item['seq']} {item['sender_agent_id']}{what}, {clock(item['created_at'])}"
        )
        lines += [f"{head} ({why(item['title'])})", f"    {harmless(item['snippet'], SHOWN_CHARS_MAX)}"]
    if page["next_cursor"]:
        lines.append(f"-- more: the same with --cursor {page['next_cursor']}")
    return lines or ["nothing found"]
