"""A thread's summary over HTTP, and `bridge summary` as a person sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.cli.summary import _lines
from bridge.core.states import Role
from tests.support.web import Api

Apis = Callable[..., Api]


def make(api: Apis, *agents: str) -> str:
    body = {"title": "Review", "participants": [{"agent_id": name} for name in agents]}
    made = api("chief", Role.COORDINATOR).post("/v1/threads", body).json
    assert made is not None
    return str(made["thread_id"])


def summary(api: Api, thread_id: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = api.get(f"/v1/threads/{thread_id}/summary", **query)
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    return dict(answer.json)


def play(api: Apis) -> str:
    """A finding, a decision, a question, a block."""
    thread_id = make(api, "alice", "bob")
    path = f"/v1/threads/{thread_id}/messages"
    finding = {
        "type": "finding_reported",
        "finding_id": "f-1",
        "file": "a.py",
        "line": 3,
        "text": "no \x1b[2J test",
    }
    api("alice").post(path, {"kind": "event", "event": finding})
    api("bob").post(path, {"kind": "event", "event": {"type": "decision", "text": "plan B"}})
    api("alice").post(path, {"body": "when?", "to": ["bob"]})
    blocked = {"status": "blocked", "reason": "wait"}
    api("chief", Role.COORDINATOR).post(f"/v1/threads/{thread_id}/status", blocked)
    return thread_id


def test_it_tells_findings_decisions_status_and_key_messages(api: Apis) -> None:
    thread_id = play(api)
    found = summary(api("bob"), thread_id)
    assert (found["title"], found["status"], found["last_seq"], found["from_seq"]) == (
        "Review",
        "blocked",
        4,
        1,
    )
    (finding,) = found["open_findings"]
    assert (finding["finding_id"], finding["status"], finding["line"]) == ("f-1", "open", 3)
    assert found["closed_findings"] == []
    assert [one["text"] for one in found["decisions"]] == ["plan B"]
    assert (found["last_status"]["status"], found["last_status"]["why"]) == ("blocked", "wait")
    assert found["last_status"]["at"].endswith("Z")
    assert [(one["seq"], one["why"], one["waits_for"]) for one in found["key_messages"]] == [
        (1, ["event", "opening"], []),
        (2, ["event"], []),
        (3, ["unanswered"], ["bob"]),
    ]
    assert summary(api("bob"), thread_id) == found
    assert len(summary(api("bob"), thread_id, max_messages=1)["key_messages"]) == 1


@pytest.mark.parametrize("wrong", ["0", "101", "x", "-1"])
def test_its_bound_is_checked(api: Apis, wrong: str) -> None:
    answer = api("alice").get(f"/v1/threads/{make(api, 'alice')}/summary", max_messages=wrong)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_ARGUMENT")


def test_participants_see_their_own_threads_and_the_others_any(api: Apis) -> None:
    thread_id = make(api, "alice")
    path = f"/v1/threads/{thread_id}/summary"
    assert api("carol").get(path).status_code == 403
    for role in (Role.COORDINATOR, Role.OPERATOR, Role.AUDITOR):
        assert api("carol", role).get(path).status_code == 200
        assert api("carol", role, workspace="ws_2").get(path).status_code == 404
    assert api("host:local", Role.HOST).get(path).status_code == 403


def test_a_person_sees_it_with_others_words_marked_and_harmless(api: Apis) -> None:
    lines = _lines(summary(api("alice"), play(api)))
    assert lines[1] == "> Review"
    assert "finding f-1 (open, seq 1)" in lines
    assert "> a.py:3 no <U+001B>[2J test" in lines
    assert "3 alice, waits for bob" in lines
