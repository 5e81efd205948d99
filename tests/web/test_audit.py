"""The audit over HTTP: reading it, proving it page by page, marks kept elsewhere, and redacting a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.commands.anchor_heads import anchor_heads
from bridge.core.states import Role
from bridge.db.deps import Deps
from tests.support.audit import broken_history
from tests.support.postgres import Owner
from tests.support.web import Api
from web.paging import pack

Apis = Callable[..., Api]
SECRET = "sk-hunter2"


@pytest.fixture
def thread(api: Apis) -> str:
    """Alice and bob talk, and alice lets a secret out: in a finding's text, its body and its metadata."""
    people = [{"agent_id": "alice"}, {"agent_id": "bob"}]
    made: Any = api("olivia", Role.OPERATOR).post("/v1/threads", {"title": "x", "participants": people}).json
    thread_id = str(made["thread_id"])
    event = {"type": "finding_reported", "finding_id": "f1", "file": "a.py", "text": f"has {SECRET}"}
    said = {"kind": "event", "event": event, "body": f"see {SECRET}", "metadata": {"env": SECRET}}
    path = f"/v1/threads/{thread_id}/messages"
    assert api("alice").post(path, said, Idempotency_Key="once").status_code == 201
    assert api("bob").post(path, {"body": "oh"}).status_code == 201
    return thread_id


def proof(auditor: Api, limit: int = 200) -> list[Any]:
    """All pages of the proof."""
    items, query = [], {"limit": limit}
    for _ in range(500):
        page: Any = auditor.get("/v1/audit/verify", **query).json
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        query["cursor"] = page["next_cursor"]
    raise AssertionError("the proof does not end")


def heads(auditor: Api) -> list[Any]:
    items, query = [], {"limit": 2}
    for _ in range(100):
        page: Any = auditor.get("/v1/audit/heads", **query).json
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        query["cursor"] = page["next_cursor"]
    raise AssertionError("the list does not end")


def test_operators_and_auditors_read_who_did_what_by_every_filter(api: Apis, thread: str) -> None:
    path = f"/v1/threads/{thread}/status"
    blocked = api("olivia", Role.OPERATOR).post(
        path, {"status": "blocked", "reason": "w"}, X_Request_ID="req-9"
    )
    assert blocked.status_code == 200
    auditor = api("ada", Role.AUDITOR)
    page: Any = auditor.get("/v1/audit", resource_type="thread", resource_id=thread).json
    newest, first = page["items"]
    assert (newest["event"], newest["actor"], newest["request_id"]) == ("thread.blocked", "olivia", "req-9")
    assert (newest["n"], newest["result"], newest["before"]["status"]) == (2, "done", "active")
    assert newest["after"]["status"] == "blocked"
    assert first["event"] == "thread.created"
    assert page["next_cursor"] is None
    for query in (
        {"event": "thread.blocked"},
        {"request_id": "req-9", "resource_type": "thread"},
        {"actor": "olivia", "event": "thread.blocked", "since": newest["at"]},
    ):
        found: Any = auditor.get("/v1/audit", **query).json
        assert found["items"] == [newest], query
    none: Any = auditor.get("/v1/audit", until=first["at"]).json
    assert thread not in {item["resource_id"] for item in none["items"]}


def test_the_list_goes_on_where_it_ended_and_forgets_no_event_of_the_same_moment(
    api: Apis, thread: str
) -> None:
    assert thread
    auditor = api("ada", Role.AUDITOR)
    whole: Any = auditor.get("/v1/audit").json
    assert len(whole["items"]) >= 1
    seen, query = [], {"limit": 1}
    while True:
        page: Any = auditor.get("/v1/audit", **query).json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == whole["items"]


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/audit/verify", "/v1/audit/heads"])
@pytest.mark.parametrize("cursor", ["x", "WyJ4Il0", "WyJub3doZXJlIiwiIiwiIiwwXQ", "WzEsMiwzLDRd", "bnVsbA"])
def test_a_cursor_of_another_list_is_refused(api: Apis, path: str, cursor: str) -> None:
    answer = api("ada", Role.AUDITOR).get(path, cursor=cursor)
    assert answer.status_code == 400


def test_a_cursor_into_rows_of_no_resource_is_refused(api: Apis) -> None:
    answer = api("ada", Role.AUDITOR).get("/v1/audit/verify", cursor=pack(["rows", "nonsense", "", 0]))
    assert answer.status_code == 400


def test_the_proof_names_the_resource_and_the_place(api: Apis, thread: str, owner: Owner) -> None:
    auditor = api("ada", Role.AUDITOR)
    assert proof(auditor) == proof(auditor, limit=1) == []
    owner.run("UPDATE messages SET sender_agent_id = 'bob' WHERE thread_id = :t AND seq = 1", t=thread)
    found = proof(auditor, limit=1)
    assert [(one["resource_type"], one["resource_id"], one["n"]) for one in found] == [
        ("messages", thread, 1)
    ]
    other = api("ada", Role.AUDITOR, workspace="ws_2")
    assert proof(other) == [], "another workspace's audit is its own"


def test_marks_that_were_kept_elsewhere_are_checked(api: Apis, thread: str, deps: Deps, owner: Owner) -> None:
    auditor = api("ada", Role.AUDITOR)
    anchor_heads(deps, "ws_1")
    kept = heads(auditor)
    assert (
        {"thread", "messages", "anchors", "wake"}
        >= {one["resource_type"] for one in kept}
        >= {"thread", "anchors"}
    )
    checked: Any = auditor.post("/v1/audit/verify", {"marks": kept}).json
    assert checked == {"items": [], "checked": len(kept)}
    # Everything that the database itself could be held to is cut off: the last anchor with its marks too.
    for statement in (
        "DELETE FROM audit_leaves",
        "DELETE FROM audit_anchors",
        "UPDATE workspaces SET anchor_n = 0, anchor_head = NULL",
        "DELETE FROM messages WHERE seq = 2",
        "UPDATE threads SET last_seq = 1, message_head = (SELECT hash FROM messages WHERE seq = 1)",
    ):
        owner.run(statement)
    assert proof(auditor) == []
    checked = auditor.post("/v1/audit/verify", {"marks": kept}).json
    missing = {(one["resource_type"], one["resource_id"], one["n"]) for one in checked["items"]}
    assert missing == {("messages", thread, 2), ("anchors", "ws_1", 1)}


def everything(owner: Owner) -> str:
    """All that the database holds, as text."""
    tables = owner.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return "\n".join(str(owner.rows(f"SELECT to_jsonb(t) FROM {row['relname']} t")) for row in tables)  # noqa: S608


def test_a_redacted_secret_is_nowhere_in_the_database_and_the_chain_still_holds(
    api: Apis, thread: str, owner: Owner
) -> None:
    escalated = api("chief", Role.COORDINATOR).call(
        "PUT", f"/v1/threads/{thread}/escalation", {"owner_agent_id": "bob", "reason": "who is right?"}
    )
    assert escalated.status_code == 200
    assert everything(owner).count(SECRET) >= 3
    path = f"/v1/threads/{thread}/messages"
    for role in (Role.PARTICIPANT, Role.COORDINATOR, Role.AUDITOR):
        assert api("alice", role).post(f"{path}/1/redact", {"reason": "x"}).status_code == 403
    operator = api("olivia", Role.OPERATOR)
    done: Any = operator.post(f"{path}/1/redact", {"reason": "a key leaked"}).json
    assert done["redacted_by"] == "olivia"
    everywhere = everything(owner)
    assert SECRET not in everywhere
    assert SECRET.replace("-", " ") not in everywhere, "nor as a finding's fingerprint"
    read: Any = api("bob").get(path).json
    first, second, ours = read["items"]
    assert "what matters most: 1 (alice), 2 (bob)" in ours["body"], "a message of ours has no copy of theirs"
    assert (first["redacted"], first["body"], first["metadata"]) == (True, "", None)
    assert (first["redacted_at"], first["redacted_by"]) == (done["redacted_at"], "olivia")
    assert first["event"] == {"type": "finding_reported"}
    assert (second["redacted"], second["body"], second["redacted_at"]) == (False, "oh", None)
    assert broken_history(owner) == []
    page: Any = operator.get("/v1/audit", event="message.redacted").json
    (told,) = page["items"]
    assert (told["actor"], told["after"]["seq"], told["after"]["reason"]) == ("olivia", 1, "a key leaked")
    assert told["after"]["body_sha256"] == done["body_sha256"]
    again: Any = operator.post(f"{path}/1/redact", {"reason": "again"}).json
    assert again == done
    page = operator.get("/v1/audit", event="message.redacted").json
    assert len(page["items"]) == 1
    for seq in ("4", "0", "x"):
        assert operator.post(f"{path}/{seq}/redact", {"reason": "x"}).status_code == 404
    stranger = api("olivia", Role.OPERATOR, workspace="ws_2")
    assert stranger.post(f"{path}/2/redact", {"reason": "x"}).status_code == 404
