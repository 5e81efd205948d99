"""The audit: reading it, proving it, and the marks that are kept elsewhere."""

from __future__ import annotations

from dataclasses import astuple

from bridge.core.audit import Mark
from bridge.core.authority import Action
from bridge.core.errors import InvalidArgument
from bridge.queries.audit import PARTS, AuditPlace, ProofPlace, list_audit, verify_audit
from bridge.queries.audit_marks import MARK_PARTS, MarkPlace, check_marks, list_heads
from web.paging import moment, pack, unpack
from web.routing import Call, NoBody, NoQuery, route
from web.schemas.audit import (
    AuditEventAnswer,
    AuditList,
    AuditQuery,
    CheckedAnswer,
    CheckMarks,
    HeadList,
    MarkAnswer,
    ProblemAnswer,
    VerifyAnswer,
    VerifyQuery,
)
from web.schemas.base import Paged


@route("GET", "/v1/audit", Action.READ_AUDIT, query=AuditQuery, answer=AuditList)
def list_(call: Call[NoBody, AuditQuery]) -> AuditList:
    """List audit events, the newest first: who did what to which resource, and what it was before and after."""
    query = call.query
    page = list_audit(
        call.deps,
        call.caller,
        resource_type=query.resource_type,
        resource_id=query.resource_id,
        actor=query.actor,
        event=query.event,
        request_id=query.request_id,
        since=query.since,
        until=query.until,
        limit=query.limit,
        before=_audit_place(query.cursor),
    )
    items = [AuditEventAnswer.model_validate(event) for event in page.items]
    place = page.place
    cursor = place and pack([place.at.isoformat(), place.resource_type, place.resource_id, place.n])
    return AuditList(items=items, next_cursor=cursor)


@route("GET", "/v1/audit/verify", Action.READ_AUDIT, query=VerifyQuery, answer=VerifyAnswer)
def verify(call: Call[NoBody, VerifyQuery]) -> VerifyAnswer:
    """Prove the next part of the audit; call again with `next_cursor` until there is none."""
    part, resource_type, resource_id, n = _place(call.query.cursor, PARTS)
    place = ProofPlace(part, resource_type, resource_id, n)
    page = verify_audit(call.deps, call.caller, place, call.query.limit)
    return VerifyAnswer(
        items=[ProblemAnswer.model_validate(problem) for problem in page.problems],
        part=page.part,
        checked=page.checked,
        next_cursor=page.place and pack(astuple(page.place)),
    )


@route("POST", "/v1/audit/verify", Action.READ_AUDIT, body=CheckMarks, answer=CheckedAnswer)
def check(call: Call[CheckMarks, NoQuery]) -> CheckedAnswer:
    """Say which of these marks, kept elsewhere, today's chains do not have."""
    given = call.body.marks
    marks = [Mark(one.resource_type, one.resource_id, one.n, bytes.fromhex(one.hash)) for one in given]
    problems = check_marks(call.deps, call.caller, marks)
    items = [ProblemAnswer.model_validate(problem) for problem in problems]
    return CheckedAnswer(items=items, checked=len(marks))


@route("GET", "/v1/audit/heads", Action.READ_AUDIT, query=Paged, answer=HeadList)
def heads(call: Call[NoBody, Paged]) -> HeadList:
    """List the heads of all chains and the anchors, to keep elsewhere."""
    place = MarkPlace(*_place(call.query.cursor, MARK_PARTS))
    page = list_heads(call.deps, call.caller, place, call.query.limit)
    return HeadList(
        items=[
            MarkAnswer(
                resource_type=mark.resource_type, resource_id=mark.resource_id, n=mark.n, hash=mark.hash.hex()
            )
            for mark in page.items
        ],
        next_cursor=page.place and pack(astuple(page.place)),
        workspace_id=page.workspace_id,
        now=page.now,
    )


def _audit_place(cursor: str | None) -> AuditPlace | None:
    if cursor is None:
        return None
    at, resource_type, resource_id, n = unpack(cursor, str, str, str, int)
    return AuditPlace(moment(at), resource_type, resource_id, n)


def _place(cursor: str | None, parts: tuple[str, ...]) -> tuple[str, str, str, int]:
    if cursor is None:
        return parts[0], "", "", 0
    part, resource_type, resource_id, n = unpack(cursor, str, str, str, int)
    if part not in parts:
        raise InvalidArgument("not a cursor of this list", path="cursor")
    return part, resource_type, resource_id, n
