"""Policies: the numbers that steer waking, read and changed while it runs."""

from __future__ import annotations

from bridge.commands.put_policy import put_policy
from bridge.core.authority import Action
from bridge.core.errors import InvalidArgument
from bridge.queries.policies import get_policy, list_policy_versions
from web.paging import from_cursor, to_cursor
from web.routing import Call, NoBody, NoQuery, Reply, route
from web.schemas.policy import (
    PolicyAnswer,
    PolicyHistory,
    PolicyHistoryQuery,
    PolicyVersionAnswer,
    PutPolicy,
    PutPolicyAnswer,
)


@route("GET", "/v1/policies/{scope}", Action.READ_POLICY, answer=PolicyAnswer)
def get(call: Call[NoBody, NoQuery]) -> PolicyAnswer:
    """Read the policy of a scope: every number in force, and where it comes from."""
    return PolicyAnswer.model_validate(get_policy(call.deps, call.caller, call.path["scope"]))


@route(
    "PUT",
    "/v1/policies/{scope}",
    Action.SET_POLICY,
    body=PutPolicy,
    answer=PutPolicyAnswer,
    idempotent=True,
    codes=("CONFLICT",),
)
def put(call: Call[PutPolicy, NoQuery]) -> Reply:
    """Change numbers of a scope: a new version, in force everywhere within a second."""
    done = put_policy(
        call.deps,
        call.caller,
        call.path["scope"],
        call.body.policy,
        reason=call.body.reason,
        expected_version=call.body.expected_version,
        whole=call.body.replace,
        key=call.key,
    )
    now = PolicyAnswer.model_validate(done.view).model_dump()
    return Reply(PutPolicyAnswer(**now, changed=done.changed), replayed=done.replayed)


@route(
    "GET",
    "/v1/policies/{scope}/history",
    Action.READ_POLICY,
    query=PolicyHistoryQuery,
    answer=PolicyHistory,
)
def history(call: Call[NoBody, PolicyHistoryQuery]) -> PolicyHistory:
    """List the versions of a scope: who changed which number, when and why."""
    limit = call.query.limit
    before = _version(call.query.cursor)
    found = list_policy_versions(call.deps, call.caller, call.path["scope"], limit=limit + 1, before=before)
    last = found[limit - 1] if len(found) > limit else None
    items = [PolicyVersionAnswer.model_validate(version) for version in found[:limit]]
    return PolicyHistory(
        items=items, next_cursor=to_cursor((last.created_at, f"v{last.version}") if last else None)
    )


def _version(cursor: str | None) -> int | None:
    mark = from_cursor(cursor)
    if mark is None:
        return None
    number = mark[1].removeprefix("v")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):  # noqa: PLR2004  as many as fit an integer
        raise InvalidArgument("not a cursor of this list", path="cursor")
    return int(number)
