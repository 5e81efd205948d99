"""The first seed's operator commands by their names, against the web as it is run; and what the audit says of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.cli.app import run
from bridge.client import Client, FixedToken
from bridge.config import Settings
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Mint, gunicorn

Bridge = Callable[..., tuple[int, str, str]]
FINDING = {"type": "finding_reported", "finding_id": "f1", "file": "a.py", "line": 7, "text": "off by one"}
AUDITED = "SELECT event, actor, before, after, request_id FROM audit_events WHERE resource_id = :t ORDER BY n"


@pytest.fixture
def web(settings: Settings, owner: Owner) -> Iterator[httpx.Client]:
    owner.run("INSERT INTO workspaces VALUES ('ws_1', bridge_now()) ON CONFLICT DO NOTHING")
    with gunicorn(settings) as client:
        yield client


@pytest.fixture
def bridge(
    web: httpx.Client, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Bridge:
    """`bridge("unblock-thread", ...)` as an operator, or `role=`: exit code, what was printed, standard error."""

    def call(*words: str, role: Role = Role.OPERATOR) -> tuple[int, str, str]:
        path = tmp_path / f"{role}.token"
        path.write_text(Mint(settings).token("olivia" if role is Role.OPERATOR else "chief", role))
        code = run([*words, "--url", str(web.base_url), "--token-file", str(path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def thread(bridge: Bridge, web: httpx.Client, settings: Settings) -> str:
    """A disputed thread of alice and bob: alice has reported a finding, of which bob has a wake."""
    made = bridge("thread", "create", "Review the parser", "--with", "alice", "--with", "bob")[1].strip()
    with Client(str(web.base_url), FixedToken(Mint(settings).token("alice"))) as alice:
        alice.post(made, "", kind="event", event=FINDING)
    return made


def test_each_operator_command_works_by_its_name_and_is_audited_with_the_operators_identity(
    bridge: Bridge, thread: str, owner: Owner
) -> None:
    named = ("--thread-id", thread)
    code, out, err = bridge("escalate-thread", *named, "--reason", "who is right?", "--owner", "bob")
    assert (code, err) == (0, "")
    assert out.startswith("escalated to bob and blocked: who is right?\n")
    assert f"bridge unblock-thread --thread-id {thread} --resolve --reason WHY" in out

    code, out, _ = bridge("inspect-thread", *named)
    assert code == 0
    assert "  status    blocked: who is right?" in out
    assert "s ago, by olivia to bob: who is right?" in out
    assert "f1 (open, seq 1) a.py:7: off by one" in out

    code, out, _ = bridge("unblock-thread", *named, "--reason", "bob looks at it")
    assert (code, out) == (0, f"active: {thread}\nstill escalated to bob; add --resolve once it is decided\n")
    code, out, _ = bridge("unblock-thread", *named, "--resolve", "--reason", "bob is right")
    assert (code, out) == (0, f"active: {thread}\n")

    code, out, _ = bridge("override-close-thread", *named, "--reason", "human_override: shipped without it")
    assert (code, out) == (0, f"closed: {thread}, with 1 open finding\n")

    rows = owner.rows(AUDITED, t=thread)
    assert {row["actor"] for row in rows} == {"olivia"}
    assert all(row["request_id"] for row in rows)
    assert [(row["event"], row["after"].get("why")) for row in rows if row["event"] != "thread.created"] == [
        ("thread.blocked", "who is right?"),
        ("thread.escalated", "who is right?"),
        ("thread.active", "bob looks at it"),
        ("thread.escalation_ended", "bob is right"),
        ("thread.closed", "human_override: shipped without it"),
    ]
    assert (rows[-1]["before"]["status"], rows[-1]["before"]["open_findings"]) == ("active", 1)


def test_what_is_refused_says_what_to_do_and_changes_nothing(
    bridge: Bridge, thread: str, owner: Owner
) -> None:
    named = ("--thread-id", thread)
    before = owner.rows(AUDITED, t=thread)
    for reason in ("because", "human_override", "human_override: "):
        code, _, err = bridge("override-close-thread", *named, "--reason", reason)
        assert code == 2, reason
        assert "human_override: shipped without it" in " ".join(err.split())
    for command in ("escalate-thread", "unblock-thread", "override-close-thread"):
        assert bridge(command, *named)[0] == 2, "a reason is needed"
    code, _, err = bridge(
        "override-close-thread", *named, "--reason", "human_override: x", role=Role.COORDINATOR
    )
    assert (code, "only an operator closes" in err, "INSUFFICIENT_AUTHORITY" in err) == (1, True, True)
    code, _, err = bridge("escalate-thread", "--thread-id", "th_none", "--reason", "x", "--json")
    assert (code, json.loads(err)["error"]["code"]) == (1, "NOT_FOUND")
    code, _, err = bridge("escalate-thread", *named, "--reason", "x", role=Role.PARTICIPANT)
    assert (code, "FORBIDDEN" in err) == (1, True)
    assert owner.rows(AUDITED, t=thread) == before


def test_for_a_program_each_prints_the_threads_json(bridge: Bridge, thread: str) -> None:
    named = ("--thread-id", thread, "--json")

    def answer(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(bridge(*words)[1])
        return found

    raised = answer("escalate-thread", *named, "--reason", "stuck")
    assert (raised["status"], raised["escalation"]["by"], raised["escalation"]["owner"]) == (
        "blocked",
        "olivia",
        None,
    )
    assert [one["finding_id"] for one in raised["summary"]["open_findings"]] == ["f1"]
    assert answer("inspect-thread", *named)["thread"]["escalation"]["reason"] == "stuck"
    settled = answer("unblock-thread", *named, "--resolve", "--reason", "settled")
    assert (settled["status"], settled["escalated"], settled["escalation"]) == ("active", False, None)
    closed = answer("override-close-thread", *named, "--reason", "human_override: done")
    assert closed["status"] == "closed"
    code, _, err = bridge("unblock-thread", "--thread-id", thread, "--reason", "again")
    assert (code, "the thread is closed by now" in err) == (1, True)
