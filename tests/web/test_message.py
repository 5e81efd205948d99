"""Messages over HTTP: posting, reading, cursors, receipts, keys, later versions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.core.states import Role
from tests.support.web import Api

Apis = Callable[..., Api]


@pytest.fixture
def thread_id(api: Apis) -> str:
    people = [{"agent_id": "alice", "role": "reviewer"}, {"agent_id": "bob", "role": "executor"}]
    body = {"title": "Review", "type": "workflow", "participants": people}
    return str(ok(api("chief", Role.COORDINATOR).post("/v1/threads", body))["thread_id"])


def ok(answer: Any) -> dict[str, Any]:  # noqa: ANN401  a response
    assert answer.status_code in (200, 201), answer.json
    assert isinstance(answer.json, dict)
    return answer.json


def code(answer: Any) -> tuple[int, str]:  # noqa: ANN401  a response
    assert answer.content_type == "application/problem+json", answer.data
    return answer.status_code, answer.json["code"]


def test_a_post_is_stored_wakes_the_others_and_is_read(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    posted = ok(api("alice").post(path, {"body": "hello", "metadata": {"n": 1.5}}))
    assert (posted["seq"], posted["thread_status"]) == (1, "active")
    assert [(wake["agent_id"], wake["state"]) for wake in posted["wakes"]] == [("bob", "pending")]
    page = ok(api("bob").get(path))
    (message,) = page["items"]
    assert (message["message_id"], message["body"], message["metadata"]) == (
        posted["message_id"],
        "hello",
        {"n": 1.5},
    )
    assert (message["sender_agent_id"], message["sender_session_id"]) == ("alice", "ses_alice")
    assert (page["next_seq"], page["has_more"], page["last_seq"]) == (1, False, 1)


def test_pages_of_messages_join_without_gap_also_with_a_filter(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    for number in range(7):
        api("alice" if number % 2 else "bob").post(path, {"body": str(number)})
    seen, since = [], 0
    for _ in range(5):
        page = ok(api("bob").get(path, since_seq=since, limit=2, sender="bob"))
        seen += [message["body"] for message in page["items"]]
        since = page["next_seq"]
        if not page["has_more"]:
            break
    assert seen == ["0", "2", "4", "6"]
    assert since == 7


def test_who_takes_no_part_neither_posts_nor_reads(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    for stranger in (api("carol"), api("chief", Role.COORDINATOR), api("boss", Role.OPERATOR)):
        assert code(stranger.post(path, {"body": "x"})) == (403, "FORBIDDEN")
    assert code(api("carol").get(path)) == (403, "FORBIDDEN")
    assert api("auditor", Role.AUDITOR).get(path).status_code == 200
    assert code(api("auditor", Role.AUDITOR).post(path, {"body": "x"})) == (403, "FORBIDDEN")


@pytest.mark.parametrize("place", ["header", "body"])
def test_a_key_gives_the_first_answer_again(api: Apis, thread_id: str, place: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    alice = api("alice")

    def post(text: str) -> Any:  # noqa: ANN401  a response
        if place == "header":
            return alice.post(path, {"body": text}, Idempotency_Key="k")
        return alice.post(path, {"body": text, "idempotency_key": "k"})

    first, again, other = post("one"), post("one"), post("two")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json == again.json
    assert code(other) == (409, "IDEMPOTENCY_CONFLICT")
    assert ok(alice.get(path))["last_seq"] == 1


def test_a_key_of_an_event_and_of_a_message_for_later_is_replayed_too(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    later = {"body": "later", "not_before": "2099-01-01T00:00:00Z"}
    assert code(api("alice").post(path, later)) == (400, "INVALID_ARGUMENT")
    event = {"kind": "event", "event": {"type": "decision", "text": "ship it"}}
    first = api("alice").post(path, event, Idempotency_Key="e")
    again = api("alice").post(path, event, Idempotency_Key="e")
    assert (first.status_code, again.status_code, first.json == again.json) == (201, 200, True)


def test_header_and_body_that_differ_are_refused(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    answer = api("alice").post(path, {"body": "x", "idempotency_key": "a"}, Idempotency_Key="b")
    assert code(answer) == (400, "INVALID_ARGUMENT")


def test_sixteen_at_once_with_one_key_make_one_message(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    callers = [api("alice") for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda one: one.post(path, {"body": "x"}, Idempotency_Key="k"), callers))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.get_data() for answer in answers}) == 1
    assert ok(api("bob").get(path))["last_seq"] == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "surprise": 1}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "kind": "system"}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "kind": "event"}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "event": {"type": "decision", "text": "y"}}, (400, "INVALID_ARGUMENT")),
        ({"kind": "event", "event": {"type": "fix_pushed"}}, (400, "INVALID_ARGUMENT")),
        ({"kind": "event", "event": {"type": "fix_pushed", "commit": 5}}, (400, "INVALID_ARGUMENT")),
        ({"kind": "event", "event": {"type": "unheard", "commit": {}}}, (400, "INVALID_ARGUMENT")),
        ({"kind": "event", "event": {"type": "Bad Type"}}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "to": ["nobody"]}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "to": []}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "to_role": "boss"}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "in_reply_to": "msg_nowhere"}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "last_read_seq": 99}, (409, "CURSOR_OUT_OF_RANGE")),
        ({"body": "x", "last_read_seq": -1}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "not_before": "yesterday"}, (400, "INVALID_ARGUMENT")),
        ({"body": "x", "sender_agent_id": "bob"}, (403, "CLAIM_MISMATCH")),
        ({"body": "x", "workspace_id": "ws_2"}, (403, "CLAIM_MISMATCH")),
        ({"body": "x", "session_id": "ses_bob"}, (403, "CLAIM_MISMATCH")),
        ({"body": "x" * 65_537}, (413, "PAYLOAD_TOO_LARGE")),
        ({"body": "x", "metadata": {"m": "x" * 16_384}}, (413, "PAYLOAD_TOO_LARGE")),
        ({"body": "x", "metadata": {"m": "x" * 300_000}}, (413, "PAYLOAD_TOO_LARGE")),
    ],
)
def test_what_is_refused_stores_nothing_and_uses_no_seq(
    api: Apis, thread_id: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    assert code(api("alice").post(path, body)) == expected
    assert ok(api("alice").get(path))["last_seq"] == 0


def test_the_callers_own_names_may_be_repeated_in_the_body(api: Apis, thread_id: str) -> None:
    body = {"body": "x", "sender_agent_id": "alice", "workspace_id": "ws_1", "session_id": "ses_alice"}
    assert api("alice").post(f"/v1/threads/{thread_id}/messages", body).status_code == 201


def test_fields_of_a_later_version_are_kept_and_ignored(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    ok(api("alice").post(path, {"schema_version": 2, "body": "x", "mood": {"calm": True}}))
    (message,) = ok(api("bob").get(path))["items"]
    assert message["schema_version"] == 2
    assert message["metadata"] == {"unknown_fields": {"mood": {"calm": True}}}


def test_the_cursor_moves_forward_only_and_not_past_the_end(api: Apis, thread_id: str) -> None:
    for text in ("one", "two"):
        api("alice").post(f"/v1/threads/{thread_id}/messages", {"body": text})
    bob, path = api("bob"), f"/v1/threads/{thread_id}/cursor"
    assert ok(bob.put(path, {"last_read_seq": 2}))["unread"] == 0
    assert ok(bob.put(path, {"last_read_seq": 2}))["last_read_seq"] == 2
    for seq in (1, 3):
        assert code(bob.put(path, {"last_read_seq": seq})) == (409, "CURSOR_OUT_OF_RANGE")


def test_receipts_tell_how_far_each_recipient_came(api: Apis, thread_id: str) -> None:
    path = f"/v1/threads/{thread_id}/messages"
    posted = ok(api("alice").post(path, {"body": "hello"}))

    def level() -> str:
        found = ok(api("alice").get(f"{path}/1/receipts"))
        assert found["message_id"] == posted["message_id"]
        (receipt,) = found["items"]
        assert receipt["agent_id"] == "bob"
        return str(receipt["receipt"])

    assert level() == "stored"
    api("bob").put(f"/v1/threads/{thread_id}/cursor", {"last_read_seq": 1})
    assert level() == "read"
    api("bob").post(path, {"body": "hi", "in_reply_to": posted["message_id"]})
    assert level() == "answered"
    cancelled = ok(api("alice").post(path, {"body": "more"}))
    api("alice").post(f"/v1/wakes/{cancelled['wakes'][0]['wake_id']}/cancel", {"reason": "never mind"})
    (receipt,) = ok(api("alice").get(f"{path}/3/receipts"))["items"]
    assert receipt["receipt"] == "failed"
    assert "never mind" in receipt["why"]


@pytest.mark.parametrize("seq", ["0", "99", "x", "-1", "1e3", "9" * 30])
def test_receipts_of_no_message_are_not_found(api: Apis, thread_id: str, seq: str) -> None:
    assert code(api("alice").get(f"/v1/threads/{thread_id}/messages/{seq}/receipts")) == (404, "NOT_FOUND")


def test_the_inbox_lists_what_is_for_the_caller_and_nothing_else(api: Apis, thread_id: str) -> None:
    api("alice").post(f"/v1/threads/{thread_id}/messages", {"body": "for bob", "to": ["bob"]})
    inbox = ok(api("bob").get("/v1/inbox"))
    (item,) = inbox["items"]
    assert (inbox["unread"], item["thread_id"], item["unread"], item["first_unread_seq"]) == (
        1,
        thread_id,
        1,
        1,
    )
    assert item["wake_id"].startswith("wake_")
    assert ok(api("alice").get("/v1/inbox"))["items"] == []
    api("bob").put(f"/v1/threads/{thread_id}/cursor", {"last_read_seq": 1})
    assert ok(api("bob").get("/v1/inbox"))["items"] == []
