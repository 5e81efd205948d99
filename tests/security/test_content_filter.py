"""Secrets in what agents write: found by kind wherever they stand, refused or redacted before anything is stored.

The samples are put together here, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bridge.adapters.secret_patterns import LIBRARY, OURS, PIECE_CHARS, SecretPatterns
from bridge.core.content import ContentFilter, without
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import ROOT, Api
from tests.support.world import TEST_POLICY, FixedPolicies
from web.app import create_app, load_routes
from web.routing import Services
from web.schemas.base import ScreenedAnswer

Apis = Callable[..., Api]
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0" + ".dozjgNryP4J3jVmNHl0w5N"
SAMPLES = {
    "aws key": AWS,
    "azure storage key": "Account"
    "Key=lJzRc1YdHaAA2KCNJJ1tkYwF/+mKK6Ygw0NGe170Xu592euJv2wYUtBlV8z+qnlcNQSnIYVTkLWntUO1F8j8rQ==",
    "discord token": "MZ1yGvKTjE0rY0cV8i47CjAa" + ".uRHQPq." + "Xb1Mk2nEhe-4iUcrGOuegj57zMC",
    "github token": "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
    "gitlab token": "glpat-" + "hellOworld380_testin",
    "json web token": JWT,
    "mailchimp key": "343ea45721923ed956e2b38c31db76aa" + "-us30",
    "openai key": "sk-" + "Xi8tcNiHV9awbCcvilTe" + "T3BlbkFJ" + "3UDnpdEwNNm6wVBpYM0o",
    "private key": PEM,
    "pypi token": "pypi-AgEIcHlwaS5vcmc" + "A" * 80,
    "sendgrid key": "SG.ngeVfQFYQlKU0ufo8x5d1A" + ".TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr",
    "slack token": "xoxb-" + "34532454-e039d02840a0b9379c",
    "square token": "sq0csp-" + "ABCDEFGHIJK_LMNOPQRSTUVWXYZ-0123456789\\abcd",
    "stripe key": "sk_live_" + "ReTllpYQYfIZu2Jnf2lAPFjD",
    "telegram token": "110201543:" + "AAHdqTcvCH1vGWJxfSe1ofSAs0K5PALDsaw",
    "twilio key": "SK" + "123456789012345678901234567890ab",
    "password in a url": "hunter2-hunter2",
    "anthropic key": "sk-ant-" + "api03-0123456789abcdefghijklmnopqrstuvwxyz",
    "google key": "AIza" + "SyA1234567890abcdefghijklmnopqrstuvw",
    "npm token": "npm_" + "0123456789abcdefghijklmnopqrstuvwxyz",
}
AROUND = {"password in a url": ("postgres://app:", "@db.example/x")}


@pytest.fixture(scope="module")
def patterns() -> SecretPatterns:
    return SecretPatterns()


def test_there_is_a_sample_of_every_kind() -> None:
    assert set(SAMPLES) == {kind for *_, kind in LIBRARY} | {kind for _, kind in OURS}


@pytest.mark.parametrize("at", [0, 7, PIECE_CHARS - 30, PIECE_CHARS - 1, 5 * PIECE_CHARS])
@pytest.mark.parametrize("kind", SAMPLES)
def test_each_kind_is_taken_out_whole_wherever_it_stands(
    patterns: SecretPatterns, kind: str, at: int
) -> None:
    before, after = AROUND.get(kind, (" ", " "))
    text = ("so " * at)[:at] + before + SAMPLES[kind] + after + "that was it"
    found = patterns.find(text)
    assert [secret.kind for secret in found] == [kind]
    assert without(text, found) == ("so " * at)[:at] + before + f"[redacted: {kind}]" + after + "that was it"


def test_a_key_without_its_end_is_taken_out_to_the_end_of_the_text(patterns: SecretPatterns) -> None:
    text = "here: " + PEM[:60]
    assert without(text, patterns.find(text)) == "here: [redacted: private key]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the commit is 3f786850e387550fdab836ed7e6dc881de23001b, th_0190163d8694739b8c1b2a3d4e5f6a7b",
        "task-sk-learn, password = 'changeme', key: value, https://example.org/a:b@c",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHx",
        "AKIA is how they begin; -----BEGIN CERTIFICATE----- MIIB",
    ],
)
def test_what_only_looks_like_one_is_let_through(patterns: SecretPatterns, text: str) -> None:
    assert patterns.find(text) == ()


# --- through the door ---------------------------------------------------------------------------------------------


@pytest.fixture
def app(services: Services, patterns: SecretPatterns) -> Flask:
    return create_app(
        dataclasses.replace(services, deps=dataclasses.replace(services.deps, secrets=patterns))
    )


@pytest.fixture
def screening(policies: FixedPolicies) -> Callable[[ContentFilter], None]:
    def be(mode: ContentFilter) -> None:
        policies.policy = dataclasses.replace(TEST_POLICY, content_filter=mode)

    return be


@pytest.fixture
def thread(api: Apis) -> str:
    people = [{"agent_id": "alice"}, {"agent_id": "bob"}]
    made = api("chief", Role.COORDINATOR).post("/v1/threads", {"title": "t", "participants": people}).json
    assert made is not None
    return str(made["thread_id"])


def refusals() -> float:
    return (
        REGISTRY.get_sample_value(
            "wakebridge_security_events_total", {"kind": "secret_refused", "severity": "low"}
        )
        or 0.0
    )


def everything(owner: Owner) -> str:
    """All that is stored, as text."""
    tables = owner.rows(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    return "\n".join(str(owner.rows(f'SELECT * FROM "{table["name"]}"')) for table in tables)  # noqa: S608


def calls(thread: str) -> list[tuple[str, Role, str, str, dict[str, Any], str]]:
    """Whoever may write something that others read: who, how, where, what, and the place of the secret."""
    base = f"/v1/threads/{thread}"
    event = {"type": "finding_reported", "finding_id": "f1", "text": f"see {AWS}"}
    named = {"type": "own.type", "deep": [{"er": AWS}]}
    return [
        ("alice", Role.PARTICIPANT, "POST", f"{base}/messages", {"body": f"it is {AWS}"}, "body"),
        ("alice", Role.PARTICIPANT, "POST", f"{base}/messages", {"body": "x", "metadata": {"k": [AWS]}},
         "metadata.k.0"),
        ("alice", Role.PARTICIPANT, "POST", f"{base}/messages", {"kind": "event", "event": event}, "event.text"),
        ("alice", Role.PARTICIPANT, "POST", f"{base}/messages", {"kind": "event", "event": named}, "event.deep.0.er"),
        ("alice", Role.PARTICIPANT, "POST", f"{base}/messages", {"body": "x", "schema_version": 9, "new": AWS}, "new"),
        ("chief", Role.COORDINATOR, "POST", "/v1/threads", {"title": f"about {AWS}"}, "title"),
        ("chief", Role.COORDINATOR, "POST", f"{base}/wakes",
         {"target_agent_id": "bob", "reason": "x", "trigger_prompt": f"use {AWS}"}, "trigger_prompt"),
        ("chief", Role.COORDINATOR, "PUT", f"{base}/escalation", {"reason": f"leaked {AWS}"}, "reason"),
        ("chief", Role.COORDINATOR, "DELETE", f"{base}/escalation?reason=now+{AWS}", {}, "reason"),
        ("chief", Role.COORDINATOR, "POST", f"{base}/status", {"status": "blocked", "reason": AWS}, "reason"),
    ]  # fmt: skip


def test_refused_names_the_place_uses_up_nothing_and_is_counted_and_audited_without_the_text(
    api: Apis, thread: str, owner: Owner, screening: Callable[[ContentFilter], None]
) -> None:
    screening(ContentFilter.REFUSE)
    counted = refusals()
    with capture_logs() as logs:
        for who, role, method, path, body, place in calls(thread):
            answer = api(who, role).call(method, path, body or None)
            assert answer.json is not None
            assert (answer.status_code, answer.json["code"]) == (400, "INVALID_ARGUMENT"), path
            assert answer.json["errors"] == [{"path": place, "message": "a secret: aws key"}], path
            assert AWS not in answer.text
    assert owner.value("SELECT last_seq FROM threads WHERE thread_id = :t", t=thread) == 0
    assert AWS not in everything(owner) + str(logs)
    audited = owner.rows(
        "SELECT event, actor, after FROM audit_events WHERE resource_type = 'security' ORDER BY actor"
    )
    assert [(row["event"], row["actor"]) for row in audited] == [
        ("security.secret_refused", "alice"),
        ("security.secret_refused", "chief"),
    ]
    assert audited[0]["after"]["places"] == [["body", "aws key"]]
    assert refusals() == counted + len(calls(thread))
    screening(ContentFilter.OFF)
    assert api("alice").post(f"/v1/threads/{thread}/messages", {"body": "fine"}).json["seq"] == 1  # type: ignore[index]


def test_redacted_it_is_stored_nowhere_and_the_answer_says_what_was_taken_out(
    api: Apis, thread: str, owner: Owner, screening: Callable[[ContentFilter], None]
) -> None:
    screening(ContentFilter.REDACT)
    with capture_logs() as logs:
        for who, role, method, path, body, place in calls(thread):
            answer = api(who, role).call(method, path, body or None)
            assert answer.status_code in (200, 201), answer.text
            assert answer.json is not None
            assert answer.json["redacted"] == [{"path": place, "kind": "aws key"}], path
            assert AWS not in answer.text
    assert AWS not in everything(owner) + str(logs)
    read = api("alice").get(f"/v1/threads/{thread}/messages").json
    assert read is not None
    assert read["items"][0]["body"] == "it is [redacted: aws key]"
    assert "redacted" not in api("alice").post(f"/v1/threads/{thread}/messages", {"body": "fine"}).json  # type: ignore[operator]


def test_the_same_payload_with_the_same_key_is_a_replay_and_another_one_a_conflict(
    api: Apis, thread: str, screening: Callable[[ContentFilter], None]
) -> None:
    screening(ContentFilter.REDACT)
    path, body = f"/v1/threads/{thread}/messages", {"body": f"it is {AWS}", "idempotency_key": "k1"}
    first, again = api("alice").post(path, body), api("alice").post(path, body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json == again.json
    assert again.headers["Idempotency-Replayed"] == "true"
    other = api("alice").post(path, body | {"body": "it is something else"})
    assert (other.status_code, other.json and other.json["code"]) == (409, "IDEMPOTENCY_CONFLICT")


OPERATORS_OWN = {"PUT /v1/policies/{scope}", "POST /v1/tokens/revocations", "PUT /v1/hosts/{host}"}
"""Settings, and why an operator changed them: no agent reads them."""
WRITTEN = {"body", "title", "reason", "trigger_prompt", "metadata", "event"}


def test_every_call_that_writes_what_others_read_is_screened() -> None:
    for route in load_routes():
        writes = WRITTEN & {*(route.body.model_fields if route.body else ()), *route.query.model_fields}
        if writes and route.method != "GET" and f"{route.method} {route.path}" not in OPERATORS_OWN:
            assert route.screened, route.path
        if route.screened:
            assert issubclass(route.answer, ScreenedAnswer), route.path


def test_the_library_is_not_imported_before_a_text_is_looked_at() -> None:
    code = "import sys, bridge.bootstrap; sys.exit('detect_secrets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
