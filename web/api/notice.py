"""Notices: what operators and senders were told."""

from __future__ import annotations

from bridge.commands.ack_notice import ack_notice
from bridge.core.authority import Action
from bridge.queries.notices import list_notices
from web.paging import from_cursor, to_cursor
from web.routing import Call, NoBody, NoQuery, route
from web.schemas.notice import AckedNotice, NoticeAnswer, NoticeList, NoticeQuery


@route("GET", "/v1/notices", Action.READ_FLEET, query=NoticeQuery, answer=NoticeList)
def list_(call: Call[NoBody, NoticeQuery]) -> NoticeList:
    """List notices, grouped by cause; those that nobody has seen, unless `acked`."""
    query = call.query
    page = list_notices(
        call.deps,
        call.caller,
        acked=query.acked,
        audience=query.audience,
        limit=query.limit,
        after=from_cursor(query.cursor),
    )
    items = [NoticeAnswer.model_validate(notice) for notice in page.items]
    return NoticeList(items=items, next_cursor=to_cursor(page.mark))


@route("POST", "/v1/notices/{notice_id}/ack", Action.MANAGE_FLEET, answer=AckedNotice)
def ack(call: Call[NoBody, NoQuery]) -> AckedNotice:
    """Close a notice: the next of the same cause is a new one."""
    ack_notice(call.deps, call.caller, call.path["notice_id"])
    return AckedNotice(notice_id=call.path["notice_id"])
