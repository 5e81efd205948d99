"""No call of a participant or coordinator says where an agent is, in which pane or directory, or what is run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from bridge.bootstrap import Deps
from bridge.commands.attach_session import attach_session
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api
from web.app import load_routes
from web.routing import Route

Apis = Callable[..., Api]
ROUTES = load_routes()
NAMES = [f"{route.method} {route.path}" for route in ROUTES]
FORGED: dict[str, Any] = {
    "pane": "%5",
    "cwd": "/etc",
    "command": ["rm", "-rf", "/"],
    "argv": ["rm", "-rf", "/"],
    "env": {"PATH": "/evil"},
    "environment": {"PATH": "/evil"},
    "host": "evil",
    "preset": "evil",
    "native_id": "-c evil",
    "url": "http://169.254.169.254/",
    "webhook": {"url": "http://169.254.169.254/"},
    "pid": 1,
    "term": 99,
    "attached": True,
    "agent_id": "bob",
    "session_id": "ses_bob",
    "workspace_id": "ws_2",
    "is_human": True,
    "disabled": True,
    "seat_session_id": "ses_alice",
    "seat_runtime": "pty",
    "runtime": "webhook",
    "socket": "/tmp/evil.sock",
    "secret_file": "/etc/passwd",
}
GOOD: dict[str, dict[str, Any]] = {
    "POST /v1/threads": {"title": "x", "participants": [{"agent_id": "alice"}]},
    "POST /v1/threads/{thread_id}/participants": {"agent_id": "zoe"},
    "POST /v1/threads/{thread_id}/messages": {"body": "x"},
    "PUT /v1/threads/{thread_id}/cursor": {"last_read_seq": 0},
    "POST /v1/threads/{thread_id}/wakes": {"target_agent_id": "bob", "reason": "x"},
    "PUT /v1/sessions/{session_id}": {"runtime": "pty", "status": "idle", "resumable": True},
    "PUT /v1/sessions/{session_id}/hold": {"for_s": 5, "reason": "x"},
    "PUT /v1/agents/{agent_id}": {"host": "evil", "preset": "evil"},
    "PUT /v1/hosts/{host}": {"draining": True, "reason": "x"},
    "POST /v1/tokens": {"agent_id": "bob", "role": "participant", "session_id": "ses_bob"},
}
"""What each call takes: the forged fields come on top of it."""
HELD = """
SELECT s.session_id, s.agent_id, s.host, s.preset, s.cwd, s.native_id, s.pid, s.term, s.attached, a.host AS a_host,
    a.preset AS a_preset, a.disabled, a.is_human, a.seat_session_id
FROM sessions s JOIN agents a USING (workspace_id, agent_id) WHERE s.session_id IN ('ses_alice', 'ses_bob')
ORDER BY s.session_id
"""


@pytest.fixture(name="places")
def _places(api: Apis, deps: Deps, owner: Owner) -> dict[str, str]:
    """A thread of alice and bob, who are each held in a terminal of the host `local`."""
    people = [{"agent_id": "alice"}, {"agent_id": "bob"}]
    made = api("boss", Role.OPERATOR).post("/v1/threads", {"title": "x", "participants": people}).json
    assert made is not None
    posted = api("alice").post(f"/v1/threads/{made['thread_id']}/messages", {"body": "x"}).json
    assert posted is not None
    for agent in ("alice", "bob"):
        session = f"ses_{agent}"
        attach_session(
            deps, "ws_1", agent, session, host="local", pid=7, runtime="pty", preset="line", cwd="/srv"
        )
    owner.run("UPDATE sessions SET native_id = 'native-1'")
    wake = posted["wakes"][0]["wake_id"]
    return {"thread_id": made["thread_id"], "wake_id": wake, "seq": "1", "host": "local", "run_id": "run_1"}


@pytest.mark.parametrize("role", [Role.PARTICIPANT, Role.COORDINATOR])
def test_whatever_it_says_nothing_moves(api: Apis, owner: Owner, places: dict[str, str], role: Role) -> None:
    before = owner.rows(HELD)
    assert [row["cwd"] for row in before] == ["/srv", "/srv"]
    alice = api("alice", role)
    counted = 0
    for route in ROUTES:
        for own in (
            {"agent_id": "alice", "session_id": "ses_alice"},
            {"agent_id": "bob", "session_id": "ses_bob"},
        ):
            for body in bodies(route):
                answer = alice.call(route.method, concrete(route, places | own), body)
                assert answer.status_code < 500, (route.path, body)
                assert owner.rows(HELD) == before, (route.path, body, answer.status_code)
                counted += 1
    assert counted > 500


@pytest.mark.usefixtures("places")
def test_an_operators_word_does_move_it(api: Apis, owner: Owner) -> None:
    """So that the test above could fail."""
    before = owner.rows(HELD)
    assert (
        api("olivia", Role.OPERATOR).put("/v1/agents/bob", GOOD["PUT /v1/agents/{agent_id}"]).status_code
        == 200
    )
    assert owner.rows(HELD) != before


@pytest.mark.parametrize("name", NAMES)
def test_no_model_takes_such_a_field_from_them(name: str) -> None:
    """Which calls have these fields at all: operators' alone, and those that name an agent."""
    route = ROUTES[NAMES.index(name)]
    fields = set(route.body.model_fields) if route.body else set()
    named = fields & (set(FORGED) - {"agent_id", "session_id"})
    assert not named or name in FOR_OPERATORS, (name, named)


FOR_OPERATORS = {
    "PUT /v1/agents/{agent_id}",  # an operator's
    "POST /v1/tokens",  # `workspace_id`: an operator's; a host has them made for its own agents alone
    "PUT /v1/sessions/{session_id}",  # `runtime`: what it says of itself, which decides nothing
}


def test_the_fields_in_a_message_are_words(api: Apis, owner: Owner, places: dict[str, str]) -> None:
    """Metadata may be anything: it is kept, given back, and never looked at."""
    before = owner.rows(HELD)
    path = f"/v1/threads/{places['thread_id']}/messages"
    body = {"body": json.dumps(FORGED), "metadata": FORGED}
    posted = api("alice").post(path, body)
    assert posted.status_code == 201, posted.json
    found = api("bob").get(path, since_seq=1).json
    assert found is not None
    assert found["items"][0]["metadata"] == FORGED
    assert owner.rows(HELD) == before


def bodies(route: Route) -> list[dict[str, Any] | None]:
    """A good body, with each forged field alone and with all of them, as this schema's version and as a later one."""
    if route.method in {"GET", "DELETE"}:
        return [None]
    good = GOOD.get(f"{route.method} {route.path}", {"reason": "x"})
    alone = [{name: value, **good} for name, value in FORGED.items()]
    over = [good | {name: value} for name, value in FORGED.items() if name in good]
    together = {**FORGED, **good}
    return [good, *alone, *over, together, {**together, "schema_version": 2}]


def concrete(route: Route, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "workspace"), route.path)
