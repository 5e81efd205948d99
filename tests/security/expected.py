"""Who may make which call, written out from the contract's table of roles, and never from the product's own.

One row a call: participant, coordinator, operator, auditor, host. `own`: in a thread it takes part in, with a wake or
a session of its own. A call without a row fails the walk; calls that ask for different rights have a row for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.core.states import Role

ROLES = (Role.PARTICIPANT, Role.COORDINATOR, Role.OPERATOR, Role.AUDITOR, Role.HOST)


@dataclass(frozen=True)
class Row:
    """What each role is granted, and a body and a query that are otherwise right."""

    grants: str
    body: dict[str, Any] | None = None
    query: str = ""

    def grant(self, role: Role) -> str:
        """`no`, `own` or `yes`."""
        return self.grants.split()[ROLES.index(role)]


WHY = {"reason": "a test"}
MARK = {"resource_type": "thread", "resource_id": "th_none", "n": 1, "hash": "00" * 32}
STATUS, WAKES = "POST /v1/threads/{thread_id}/status", "POST /v1/threads/{thread_id}/wakes"

EXPECTED: dict[str, Row] = {
    # post, read, ack, elicit in own threads
    "POST /v1/threads/{thread_id}/messages": Row("own own own no no", {"body": "x"}),
    "PUT /v1/threads/{thread_id}/cursor": Row("own own own no no", {"last_read_seq": 1}),
    "POST /v1/wakes/{wake_id}/ack": Row("own own own no no"),
    # create threads; manage participants; block, unblock, resolve
    "POST /v1/threads": Row("no yes yes no no", {"title": "x"}),
    "POST /v1/threads/{thread_id}/participants": Row("no yes yes no no", {"agent_id": "zoe"}),
    "DELETE /v1/threads/{thread_id}/participants/{agent_id}": Row("no yes yes no no"),
    # any thread in the workspace; receipts, summary, wakes of own threads
    "GET /v1/threads": Row("yes yes yes yes no"),
    "GET /v1/threads/{thread_id}": Row("own yes yes yes no"),
    "GET /v1/threads/{thread_id}/messages": Row("own yes yes yes no"),
    "GET /v1/threads/{thread_id}/messages/{seq}/receipts": Row("own yes yes yes no"),
    "GET /v1/threads/{thread_id}/summary": Row("own yes yes yes no"),
    "GET /v1/search": Row("yes yes yes yes no", query="q=hello"),
    "GET /v1/wakes": Row("yes yes yes yes no"),
    "GET /v1/wakes/{wake_id}": Row("own yes yes yes no"),
    "GET /v1/wakes/{wake_id}/explain": Row("own yes yes yes no"),
    "GET /v1/runs": Row("no yes yes yes no"),
    "GET /v1/runs/{run_id}": Row("no yes yes yes no"),
    # inbox; own session
    "GET /v1/inbox": Row("yes yes yes yes no"),
    "PUT /v1/sessions/{session_id}": Row("own own own no no", {"runtime": "pty"}),
    "POST /v1/sessions/{session_id}/human-input": Row("own own own no no"),
    "PUT /v1/sessions/{session_id}/hold": Row("own own yes no no", {"for_s": 1}),
    # trigger, cancel a wake / force one
    WAKES: Row("own yes yes no no", {"target_agent_id": "bob", **WHY}),
    f"{WAKES} by force": Row("no no yes no no", {"target_agent_id": "bob", "force": True, **WHY}),
    "POST /v1/wakes/{wake_id}/force": Row("no no yes no no", WHY),
    "POST /v1/wakes/{wake_id}/cancel": Row("own yes yes no no", WHY),
    "POST /v1/wakes/{wake_id}/retry": Row("own yes yes no no", WHY),
    # block, unblock, resolve / close
    f"{STATUS}: blocked": Row("no yes yes no no", {"status": "blocked", **WHY}),
    f"{STATUS}: active": Row("no yes yes no no", {"status": "active", **WHY}),
    f"{STATUS}: resolved": Row("own yes yes no no", {"status": "resolved", **WHY}),
    f"{STATUS}: closed": Row("no yes yes no no", {"status": "closed", **WHY}),
    # escalate; a leaked secret taken out
    "PUT /v1/threads/{thread_id}/escalation": Row("no yes yes no no", WHY),
    "DELETE /v1/threads/{thread_id}/escalation": Row("no yes yes no no", query="reason=test"),
    "POST /v1/threads/{thread_id}/messages/{seq}/redact": Row("no no yes no no", WHY),
    # audit log
    "GET /v1/audit": Row("no no yes yes no"),
    "GET /v1/audit/heads": Row("no no yes yes no"),
    "GET /v1/audit/verify": Row("no no yes yes no"),
    "POST /v1/audit/verify": Row("no no yes yes no", {"marks": [MARK]}),
    # policies, flags, rollout, revocation
    "GET /v1/policies/{scope}": Row("no yes yes yes no"),
    "GET /v1/policies/{scope}/history": Row("no yes yes yes no"),
    "PUT /v1/policies/{scope}": Row("no no yes no no", {"policy": {"lease_s": 30}, **WHY}),
    "POST /v1/tokens/revocations": Row("no no yes no no", {"jti": "lost", **WHY}),
    # agents; hosts; pause; notices; tokens for others
    "GET /v1/agents": Row("no no yes yes no"),
    "PUT /v1/agents/{agent_id}": Row("no no yes no no", {"is_human": False}),
    "GET /v1/hosts": Row("no no yes yes no"),
    "PUT /v1/hosts/{host}": Row("no no yes no no", {"draining": False, **WHY}),
    "GET /v1/notices": Row("no no yes yes no"),
    "POST /v1/notices/{notice_id}/ack": Row("no no yes no no"),
    "GET /v1/pause": Row("no no yes yes no"),
    "POST /v1/pause": Row("no no yes no no", {"scope": "agent:nobody", **WHY}),
    "POST /v1/resume": Row("no no yes no no", {"scope": "agent:nobody", **WHY}),
    "POST /v1/runs/{run_id}/kill": Row("no no yes no no", WHY),
    "POST /v1/tokens": Row("no no yes no yes", {"agent_id": "bob", "ttl_s": 60}),
    "POST /v1/tokens/refresh": Row("yes yes yes yes yes", {}),
}


def addressed(path: str, row: Row) -> str:
    """The path with the row's query."""
    return f"{path}?{row.query}" if row.query else path


def call_of(name: str) -> str:
    """The call that a row speaks of: `METHOD /path`."""
    return name.split(": ", maxsplit=1)[0].removesuffix(" by force")


def rows_of(call: str) -> list[str]:
    """The names of a call's rows."""
    return [name for name in EXPECTED if call_of(name) == call]
