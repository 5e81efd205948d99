"""The inbox: what waits for the caller."""

from __future__ import annotations

from bridge.adapters.timing import stopwatch
from bridge.commands.note_listening import note_listening
from bridge.core.authority import Action, may
from bridge.queries.inbox import Inbox, inbox
from web.routing import Call, NoBody, route
from web.schemas.inbox import InboxAnswer, InboxQuery
from web.waiting import wait_until

LISTEN_FOR_S = 12.0
RENEW_S = 10.0


@route("GET", "/v1/inbox", Action.READ_INBOX, query=InboxQuery, answer=InboxAnswer)
def read(call: Call[NoBody, InboxQuery]) -> InboxAnswer:
    """Threads with something unread, and what the caller is to be told; with wait_s, wait for news."""
    wait_s = call.query.wait_s
    # Who only reads leaves no trace: an auditor that waits is no agent that listens.
    listener = _Listener(call) if wait_s > 0 and may(Action.OWN_SESSION, call.caller.role) else None
    told: set[tuple[str, int]] | None = None

    def look() -> Inbox:
        if listener is not None:
            listener.renew()
        return inbox(call.deps, call.caller)

    def is_news(found: Inbox) -> bool:
        nonlocal told
        before, told = told, {(notice.notice_id, notice.count) for notice in found.notices}
        return bool(found.items) or (before is not None and bool(told - before))

    topics = [(call.caller.workspace_id, call.caller.agent_id)]
    found = wait_until(call, topics, wait_s, look, enough=is_news)
    return InboxAnswer.model_validate(found)


class _Listener:
    """Notes that the caller listens, and renews the note before it is over."""

    def __init__(self, call: Call[NoBody, InboxQuery]) -> None:
        self._call = call
        self._passed_s = stopwatch()
        self._renew_at = 0.0

    def renew(self) -> None:
        """Note it, if the last note is old."""
        if self._passed_s() >= self._renew_at:
            self._renew_at = self._passed_s() + RENEW_S * 0.9
            for_s = min(LISTEN_FOR_S, self._call.query.wait_s)
            note_listening(self._call.deps, self._call.caller, for_s=for_s)
