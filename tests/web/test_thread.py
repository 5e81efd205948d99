"""Threads over HTTP: making, reading, who takes part, status."""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.states import Role
from tests.support.web import Api

Apis = Callable[..., Api]


def make(api: Apis, *agents: str, **fields: object) -> str:
    body = {"title": "Review", "type": "workflow", "participants": [{"agent_id": name} for name in agents]}
    answer = api("chief", Role.COORDINATOR).post("/v1/threads", body | fields)
    assert answer.status_code == 201, answer.json
    assert answer.json is not None
    return str(answer.json["thread_id"])


def test_a_coordinator_makes_a_thread_and_everybody_in_it_reads_it(api: Apis) -> None:
    thread_id = make(api, "alice", "bob")
    thread = api("bob").get(f"/v1/threads/{thread_id}").json
    assert thread is not None
    assert (thread["title"], thread["type"], thread["status"], thread["last_seq"]) == (
        "Review",
        "workflow",
        "active",
        0,
    )
    assert [person["agent_id"] for person in thread["participants"]] == ["alice", "bob"]
    assert thread["created_at"].endswith("Z")
    assert len(thread["created_at"]) == len("2026-01-01T00:00:00.000000Z")


def test_a_participant_makes_no_threads(api: Apis) -> None:
    answer = api("alice").post("/v1/threads", {"title": "x"})
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["code"] == "FORBIDDEN"


def test_a_stranger_does_not_read_a_thread_and_does_not_see_it_listed(api: Apis) -> None:
    thread_id = make(api, "alice", "bob")
    assert api("carol").get(f"/v1/threads/{thread_id}").status_code == 403
    assert api("carol").get("/v1/threads").json == {"items": [], "next_cursor": None}
    listed = api("alice").get("/v1/threads").json
    assert listed is not None
    assert [item["thread_id"] for item in listed["items"]] == [thread_id]


def test_the_same_key_makes_one_thread_and_says_that_it_is_a_replay(api: Apis) -> None:
    chief = api("chief", Role.COORDINATOR)
    body = {"title": "Once", "participants": [{"agent_id": "alice"}]}
    first = chief.post("/v1/threads", body, Idempotency_Key="k1")
    second = chief.post("/v1/threads", body, Idempotency_Key="k1")
    other = chief.post("/v1/threads", body | {"title": "Twice"}, Idempotency_Key="k1")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json == second.json
    assert other.status_code == 409
    assert other.json is not None
    assert other.json["code"] == "IDEMPOTENCY_CONFLICT"


def test_the_list_is_paged_and_ends(api: Apis) -> None:
    made = [make(api, "alice", title=f"thread {number}") for number in range(5)]
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api("alice").get("/v1/threads", **query).json
        assert page is not None
        seen += [item["thread_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert cursor is None


def test_the_list_is_filtered(api: Apis) -> None:
    first = make(api, "alice", title="Fix the parser", type="incident")
    make(api, "bob", title="Other")
    chief = api("chief", Role.COORDINATOR)
    for query in ({"q": "PARSER"}, {"type": "incident"}, {"participant": "alice"}):
        found = chief.get("/v1/threads", **query).json
        assert found is not None
        assert [item["thread_id"] for item in found["items"]] == [first], query
    assert chief.get("/v1/threads", status="closed").json == {"items": [], "next_cursor": None}
    assert chief.get("/v1/threads", status="nonsense").status_code == 400


def test_participants_come_change_their_role_and_go(api: Apis) -> None:
    chief = api("chief", Role.COORDINATOR)
    thread_id = make(api, "alice")
    path = f"/v1/threads/{thread_id}/participants"
    assert chief.post(path, {"agent_id": "bob", "role": "reviewer"}).status_code == 201
    assert chief.post(path, {"agent_id": "bob", "role": "reviewer"}).status_code == 200
    changed = chief.post(path, {"agent_id": "bob", "role": "executor"})
    assert changed.json is not None
    assert [person["role"] for person in changed.json["participants"]] == [None, "executor"]
    assert changed.json["participant_count"] == 2
    gone = chief.delete(f"{path}/bob")
    assert gone.json is not None
    assert [person["agent_id"] for person in gone.json["participants"]] == ["alice"]
    assert chief.delete(f"{path}/bob").status_code == 404
    assert api("alice").post(path, {"agent_id": "mallory"}).status_code == 403


def test_who_is_taken_out_is_not_woken_any_more(api: Apis) -> None:
    thread_id = make(api, "alice", "bob")
    posted = api("alice").post(f"/v1/threads/{thread_id}/messages", {"body": "hello"}).json
    assert posted is not None
    (wake,) = posted["wakes"]
    api("chief", Role.COORDINATOR).delete(f"/v1/threads/{thread_id}/participants/bob")
    found = api("alice").get(f"/v1/wakes/{wake['wake_id']}").json
    assert found is not None
    assert found["state"] == "cancelled"


def test_a_participant_resolves_its_own_thread_and_closes_none(api: Apis) -> None:
    thread_id = make(api, "alice", "bob")
    path = f"/v1/threads/{thread_id}/status"
    assert api("carol").post(path, {"status": "resolved", "reason": "done"}).status_code == 403
    resolved = api("alice").post(path, {"status": "resolved", "reason": "done"}).json
    assert resolved is not None
    assert resolved["status"] == "resolved"
    assert api("alice").post(path, {"status": "closed", "reason": "x"}).status_code == 403
    chief = api("chief", Role.COORDINATOR)
    assert chief.post(path, {"status": "closed", "reason": "over"}).status_code == 200
    reopened = chief.post(path, {"status": "active", "reason": "again"})
    assert reopened.json is not None
    assert (reopened.status_code, reopened.json["code"]) == (409, "INVALID_TRANSITION")


def test_two_who_race_the_second_is_told(api: Apis) -> None:
    thread_id = make(api, "alice")
    chief = api("chief", Role.COORDINATOR)
    path = f"/v1/threads/{thread_id}/status"
    chief.post(path, {"status": "blocked", "reason": "stop", "expected": "active"})
    late = chief.post(path, {"status": "resolved", "reason": "done", "expected": "active"})
    assert late.json is not None
    assert (late.status_code, late.json["code"]) == (409, "CONFLICT")
