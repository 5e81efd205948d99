"""Privilege escalation: every role on every call, on its own, on a stranger's, on another workspace's; nothing more.

What is expected stands in `expected.py`, written out from the contract. Each denial is told, counted and audited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from bridge.adapters.tokens import wall_clock
from bridge.core.states import Role
from tests.security.expected import EXPECTED, Row, addressed, call_of
from tests.security.places import HOME, Ids, Places, concrete, has_object, make_places
from tests.support.postgres import Owner
from tests.support.web import Api, Mint
from tests.support.world import Clock, World
from web.app import create_app, load_routes
from web.routing import Services
from web.watch import SecurityWatch

Apis = Callable[..., Api]
CALLS = {f"{route.method} {route.path}" for route in load_routes()}
KINDS = ("forbidden", "insufficient_authority", "claim_mismatch", "not_found", "out_of_scope_workspace")


@dataclass(frozen=True)
class Try:
    """One call by one role at one place, and what the contract says of it."""

    name: str
    row: Row
    place: str
    grant: str

    @property
    def is_allowed(self) -> bool:
        """Whether it must be let through."""
        return (self.grant == "yes" and self.place != "elsewhere") or (
            self.grant == "own" and self.place == "own"
        )


def tries(role: Role) -> Iterator[Try]:
    for place in ("elsewhere", "foreign", "own"):  # the own last: what is allowed changes it
        for name, row in EXPECTED.items():
            if place == "own" or has_object(call_of(name)):
                is_own_session = "{session_id}" in name and row.grant(role) == "own"
                yield Try(name, row, place, "own" if is_own_session else row.grant(role))


def made(api: Api, attempt: Try, ids: Ids) -> TestResponse:
    method, path = call_of(attempt.name).split(" ")
    return api.call(method, addressed(concrete(path, ids), attempt.row), attempt.row.body)


@pytest.fixture
def home(world: World, api: Apis) -> World:
    """The world as the home workspace, whose operators may change hosts."""
    del api
    return World(world.deps, world.owner, world.gateway, workspace=HOME)


def counted() -> float:
    values = (
        REGISTRY.get_sample_value("wakebridge_security_events_total", {"kind": kind, "severity": severity})
        for kind in KINDS
        for severity in ("low", "medium")
    )
    return sum(value or 0.0 for value in values)


def test_no_call_is_without_an_expectation_and_none_of_the_roles_is_forgotten() -> None:
    assert {call_of(name) for name in EXPECTED} >= CALLS
    assert {len(row.grants.split()) for row in EXPECTED.values()} == {len(Role)}


@pytest.mark.parametrize("role", Role)
def test_a_role_does_what_it_is_granted_and_nothing_else(
    api: Apis, home: World, owner: Owner, role: Role
) -> None:
    name = "host:local" if role is Role.HOST else "mallory"
    places = make_places(home, "mallory")
    caller = api(name, role, workspace=HOME, session_id=f"ses_{name}")
    before, wrong, denials = counted(), [], []
    with capture_logs() as logs:
        for attempt in tries(role):
            if call_of(attempt.name) in CALLS:
                answer = made(caller, attempt, getattr(places, attempt.place))
                code = answer.json.get("code") if answer.json else None
                if code in {kind.upper() for kind in KINDS}:
                    denials.append((call_of(attempt.name), code))
                if not is_right(attempt, answer.status_code, str(code)):
                    wrong.append((attempt.name, attempt.place, attempt.grant, answer.status_code, code))
    assert wrong == []
    told = [(line["route"], line["result"]) for line in logs if line["event"] == "policy.denied"]
    assert told == denials
    assert counted() - before == len(denials)
    check_audit(owner, name, denials)
    check_nothing_elsewhere(owner, places)


def is_right(attempt: Try, status: int, code: str) -> bool:
    """Let through: done, or in conflict with what was done before. Refused: as what is not there, or as not allowed."""
    if attempt.is_allowed:
        return status < 300 or status == 409
    if attempt.grant == "no":
        return code == "FORBIDDEN" or (code == "NOT_FOUND" and attempt.place == "elsewhere")
    if "{session_id}" in attempt.name and attempt.grant == "own":
        return code == "CLAIM_MISMATCH"
    return code == ("NOT_FOUND" if attempt.place == "elsewhere" else "FORBIDDEN")


def check_audit(owner: Owner, name: str, denials: list[tuple[str, str]]) -> None:
    """One row for each kind, and what it says is the first decision of that kind, whole."""
    rows = owner.rows(
        "SELECT event, actor, request_id, after FROM audit_events WHERE resource_type = 'security' ORDER BY n"
    )
    assert [row["event"] for row in rows] == list(
        dict.fromkeys(f"security.{code.lower()}" for _, code in denials)
    )
    for row in rows:
        said = row["after"]
        assert row["actor"] == said["agent_id"] == name
        assert row["request_id"] == said["request_id"]
        assert f"security.{said['result'].lower()}" == row["event"]
        assert set(said) == {
            *("result", "action", "role", "grant", "own", "route", "ids", "left_out"),
            *("agent_id", "workspace_id", "session_id", "jti", "request_id"),
        }


def check_nothing_elsewhere(owner: Owner, places: Places) -> None:
    """The other workspace is as it was."""
    (thread,) = owner.rows("SELECT * FROM threads WHERE workspace_id = 'ws_2'")
    assert (thread["status"], thread["last_seq"], thread["participants"]) == ("active", 1, 2)
    (wake,) = owner.rows("SELECT * FROM wakes WHERE workspace_id = 'ws_2'")
    assert (wake["wake_id"], wake["state"]) == (places.elsewhere["wake_id"], "pending")
    assert owner.rows("SELECT 1 FROM notices WHERE workspace_id = 'ws_2' AND acked_at IS NOT NULL") == []
    assert owner.rows("SELECT 1 FROM runs WHERE workspace_id = 'ws_2' AND state <> 'running'") == []


def test_a_decision_says_which_rule_refused_whom_what_and_where(api: Apis, home: World) -> None:
    foreign = make_places(home, "mallory").foreign
    mallory = api("mallory", workspace=HOME, session_id="ses_mallory", jti="jti_m")
    with capture_logs() as logs:
        path = f"/v1/threads/{foreign['thread_id']}/messages"
        answer = mallory.post(path, {"body": "the body"}, X_Request_ID="req-7")
    assert answer.status_code == 403
    (line,) = [line for line in logs if line["event"] == "policy.denied"]
    assert line == {
        "event": "policy.denied",
        "log_level": "warning",
        "result": "FORBIDDEN",
        "action": "POST",
        "role": "participant",
        "grant": "own",
        "own": False,
        "route": "POST /v1/threads/{thread_id}/messages",
        "ids": {"thread_id": foreign["thread_id"]},
        "agent_id": "mallory",
        "workspace_id": HOME,
        "session_id": "ses_mallory",
        "jti": "jti_m",
        "request_id": "req-7",
    }


def test_a_disputed_thread_is_closed_by_operators_alone_and_the_attempt_is_audited(
    api: Apis, home: World, owner: Owner
) -> None:
    path = f"/v1/threads/{home.thread('alice', 'bob')}/status"
    answer = api("chief", Role.COORDINATOR, workspace=HOME).post(path, {"status": "closed", "reason": "x"})
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (403, "INSUFFICIENT_AUTHORITY")
    (row,) = owner.rows("SELECT event, actor FROM audit_events WHERE resource_type = 'security'")
    assert row == {"event": "security.insufficient_authority", "actor": "chief"}


def test_a_minute_of_denials_is_one_row_for_all_processes_and_the_next_says_how_many_were_left_out(
    services: Services, home: World, mint: Mint, owner: Owner, clock: Clock
) -> None:
    del home
    now = [0.0, 0.0]
    watches = [SecurityWatch(lambda: now[0]), SecurityWatch(lambda: now[1])]
    apps = [create_app(replace(services, watch=watch)) for watch in watches]
    first, second = (
        Api(app.test_client(), mint.token("mallory", workspace=HOME, exp=wall_clock() + 600)) for app in apps
    )

    def left_out() -> list[int]:
        rows = owner.rows("SELECT after FROM audit_events WHERE event = 'security.forbidden' ORDER BY n")
        return [row["after"]["left_out"] for row in rows]

    for caller in (first, first, first, second, second):
        assert caller.post("/v1/threads", {"title": "x"}).status_code == 403
    assert left_out() == [0]
    clock.advance(61)
    now[:] = [61.0, 61.0]
    assert first.post("/v1/threads", {"title": "x"}).status_code == 403
    assert left_out() == [0, 2]
    clock.advance(61)
    now[:] = [122.0, 122.0]
    assert second.post("/v1/threads", {"title": "x"}).status_code == 403
    assert left_out() == [0, 2, 2]


def test_an_auditor_that_waits_for_its_inbox_leaves_no_trace(api: Apis, home: World, owner: Owner) -> None:
    del home
    assert api("audrey", Role.AUDITOR, workspace=HOME).get("/v1/inbox", wait_s=0.05).status_code == 200
    assert owner.rows("SELECT 1 FROM agents WHERE agent_id = 'audrey'") == []
