"""Search: messages by their words."""

from __future__ import annotations

from bridge.core.authority import Action
from bridge.queries.search import search_messages
from web.paging import from_cursor, to_cursor
from web.routing import Call, NoBody, Own, route
from web.schemas.search import FoundAnswer, FoundList, SearchQuery


@route("GET", "/v1/search", Action.READ_THREAD, query=SearchQuery, answer=FoundList, own=Own.BY_COMMAND)
def find(call: Call[NoBody, SearchQuery]) -> FoundList:
    """Find messages by their words, the newest first: in the workspace, or in the caller's own threads."""
    query = call.query
    page = search_messages(
        call.deps,
        call.caller,
        query.q,
        thread=query.thread,
        sender=query.sender,
        kind=query.kind,
        since=query.since,
        until=query.until,
        limit=query.limit,
        after=from_cursor(query.cursor),
    )
    items = [FoundAnswer.model_validate(item) for item in page.items]
    return FoundList(items=items, next_cursor=to_cursor(page.mark))
