"""Without a valid token: refused on every call, counted and logged, and nothing of it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bridge.adapters.tokens import wall_clock
from bridge.core.states import Role
from tests.security.forging import part
from tests.security.places import NAMES, OBJECTS, concrete
from tests.support.postgres import Owner
from tests.support.web import Api, Mint
from web.app import load_routes
from web.routing import Route, Services

Apis = Callable[..., Api]
ROUTES = load_routes()
IDS = {**NAMES, **dict.fromkeys(OBJECTS, "some-id")}


@pytest.mark.parametrize("route", ROUTES, ids=[f"{route.method} {route.path}" for route in ROUTES])
def test_no_call_is_open_to_somebody_without_a_token(app_calls: Apis, route: Route) -> None:
    answer = app_calls(None).call(route.method, concrete(route.path, IDS))
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["code"] == "UNAUTHORIZED"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def wrong_tokens(mint: Mint) -> Iterator[tuple[str, str, str]]:
    """What is wrong, the token, the code."""
    now, good = wall_clock(), mint.claims("alice")
    other = Ed25519PrivateKey.generate()
    yield "no token", "x", "UNAUTHORIZED"
    yield "expired", mint.token(iat=now - 600, exp=now - 60), "TOKEN_EXPIRED"
    yield "not yet valid", mint.sign(good | {"nbf": now + 60}), "UNAUTHORIZED"
    yield "wrong issuer", mint.token(iss="somebody"), "UNAUTHORIZED"
    yield "wrong audience", mint.token(aud="something"), "UNAUTHORIZED"
    yield "unknown kid", jwt.encode(good, other, "EdDSA", {"kid": "unknown"}), "UNAUTHORIZED"
    yield "another's key", jwt.encode(good, other, "EdDSA", {"kid": mint.kid}), "UNAUTHORIZED"
    yield "no algorithm", f"{part({'alg': 'none', 'kid': mint.kid})}.{part(good)}.", "UNAUTHORIZED"
    yield "a critical header", mint.sign(good, crit=["b64"], b64=False), "UNAUTHORIZED"
    yield "a changed claim", changed(mint), "UNAUTHORIZED"
    yield "no such workspace", mint.token(workspace="ws_nowhere"), "OUT_OF_SCOPE_WORKSPACE"
    yield "revoked", mint.token(jti="gone"), "TOKEN_REVOKED"


def changed(mint: Mint) -> str:
    head, _, signature = mint.token("alice").split(".")
    return f"{head}.{part(mint.claims('alice', Role.OPERATOR))}.{signature}"


def counted(code: str) -> float:
    values = (
        REGISTRY.get_sample_value(
            "wakebridge_security_events_total", {"kind": code.lower(), "severity": severity}
        )
        for severity in ("low", "medium")
    )
    return sum(value or 0.0 for value in values)


def test_every_wrong_token_is_refused_with_its_code_counted_and_logged_and_leaves_no_row(
    app: Flask, mint: Mint, owner: Owner
) -> None:
    owner.run(
        "INSERT INTO revocations (workspace_id, kind, value, by, reason, created_at) "
        "VALUES ('ws_1', 'jti', 'gone', 'olivia', 'lost', bridge_now())"
    )
    for what, token, code in wrong_tokens(mint):
        before = counted(code)
        with capture_logs() as logs:
            answer = Api(app.test_client(), token).post("/v1/threads", {"title": "x"})
        assert answer.json is not None
        assert answer.json["code"] == code, what
        assert counted(code) == before + 1, what
        (line,) = [line for line in logs if line["event"] == "token.refused"]
        assert (line["result"], line["route"]) == (code, "/v1/threads"), what
        assert token not in str(logs) or token == "x"
    for table in ("audit_events", "threads", "agents", "sessions"):
        assert owner.value(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608  the test's own names


@pytest.mark.parametrize(
    ("sent", "header"),
    [
        ({"query_string": {"access_token": "TOKEN"}}, {}),
        ({"query_string": {"token": "TOKEN"}}, {}),
        ({}, {"Cookie": "token=TOKEN; Authorization=Bearer TOKEN"}),
        ({}, {"X-Authorization": "Bearer TOKEN"}),
        ({}, {"Proxy-Authorization": "Bearer TOKEN"}),
        ({}, {"Authorization": "Basic TOKEN"}),
        ({}, {"Authorization": "TOKEN"}),
        ({}, {"X-Forwarded-User": "alice", "X-Remote-User": "alice"}),
    ],
)
def test_a_token_is_taken_from_its_header_alone(
    services: Services, app: Flask, mint: Mint, sent: dict[str, Any], header: dict[str, str]
) -> None:
    del services
    token = mint.token("alice")
    more = {
        name: {key: value.replace("TOKEN", token) for key, value in query.items()}
        for name, query in sent.items()
    }
    headers = {name: value.replace("TOKEN", token) for name, value in header.items()}
    assert Api(app.test_client(), None).call("GET", "/v1/inbox", headers=headers, **more).status_code == 401
    assert Api(app.test_client(), token).get("/v1/inbox").status_code == 200
