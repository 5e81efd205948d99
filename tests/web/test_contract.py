"""What the API promises as a whole, read from the route table: roles, codes, OpenAPI. Who gets in: tests/security."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bridge.core.authority import AUTHORITY, Grant
from bridge.core.states import Role
from tests.support.web import Api
from web.app import load_routes
from web.errors import STATUS
from web.openapi import codes_of, openapi
from web.routing import NoQuery, Own, Route

Apis = Callable[..., Api]
ROUTES = load_routes()
NAMES = [f"{route.method} {route.path}" for route in ROUTES]
PROMISED = {
    "POST /v1/threads",
    "GET /v1/threads",
    "GET /v1/threads/{thread_id}",
    "POST /v1/threads/{thread_id}/participants",
    "DELETE /v1/threads/{thread_id}/participants/{agent_id}",
    "POST /v1/threads/{thread_id}/status",
    "PUT /v1/threads/{thread_id}/escalation",
    "DELETE /v1/threads/{thread_id}/escalation",
    "POST /v1/threads/{thread_id}/messages",
    "GET /v1/threads/{thread_id}/messages",
    "GET /v1/threads/{thread_id}/messages/{seq}/receipts",
    "GET /v1/threads/{thread_id}/summary",
    "PUT /v1/threads/{thread_id}/cursor",
    "GET /v1/search",
    "POST /v1/threads/{thread_id}/wakes",
    "GET /v1/inbox",
    "PUT /v1/sessions/{session_id}",
    "POST /v1/sessions/{session_id}/human-input",
    "PUT /v1/sessions/{session_id}/hold",
    "GET /v1/wakes",
    "GET /v1/wakes/{wake_id}",
    "GET /v1/wakes/{wake_id}/explain",
    "POST /v1/wakes/{wake_id}/ack",
    "POST /v1/wakes/{wake_id}/cancel",
    "POST /v1/wakes/{wake_id}/force",
    "POST /v1/wakes/{wake_id}/retry",
    "GET /v1/runs",
    "GET /v1/runs/{run_id}",
    "POST /v1/runs/{run_id}/kill",
    "GET /v1/agents",
    "PUT /v1/agents/{agent_id}",
    "GET /v1/hosts",
    "PUT /v1/hosts/{host}",
    "GET /v1/notices",
    "POST /v1/notices/{notice_id}/ack",
    "GET /v1/policies/{scope}",
    "PUT /v1/policies/{scope}",
    "GET /v1/policies/{scope}/history",
    "GET /v1/audit",
    "GET /v1/audit/verify",
    "POST /v1/audit/verify",
    "GET /v1/audit/heads",
    "POST /v1/threads/{thread_id}/messages/{seq}/redact",
    "GET /v1/pause",
    "POST /v1/pause",
    "POST /v1/resume",
    "POST /v1/tokens",
    "POST /v1/tokens/refresh",
    "POST /v1/tokens/revocations",
}


def concrete(path: str, **ids: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "some-id"), path)


def test_every_promised_call_is_there() -> None:
    assert set(NAMES) >= PROMISED
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_a_role_without_the_grant_is_refused_whatever_it_sends(
    app_calls: Apis, route: Route, role: Role
) -> None:
    if AUTHORITY[route.action, role] is not Grant.NO:
        return
    answer = app_calls("eve", role).call(route.method, concrete(route.path))
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (403, "FORBIDDEN")


def test_where_the_dispatcher_asks_for_membership_the_path_names_the_thread() -> None:
    for route in ROUTES:
        grants = {AUTHORITY[route.action, role] for role in Role}
        if Grant.OWN in grants and route.own is Own.BY_PATH:
            assert "{thread_id}" in route.path, route.path


def test_every_code_has_a_status_and_every_status_a_title() -> None:
    for route in ROUTES:
        assert set(codes_of(route)) <= set(STATUS), route.path


def test_openapi_is_valid_and_describes_every_route(api: Apis) -> None:
    described = api(None).get("/openapi.json").json
    assert described == openapi(ROUTES)
    assert described["openapi"] == "3.1.0"
    for route in ROUTES:
        operation = described["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        assert {name["name"] for name in operation["parameters"] if name["in"] == "path"} == set(
            re.findall(r"\{(\w+)\}", route.path)
        )
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r"#/components/schemas/([^\"']+)", str(described)))
    assert references <= set(described["components"]["schemas"])


def test_the_page_of_the_api_needs_nothing_from_elsewhere(api: Apis) -> None:
    answer = api(None).get("/docs")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert all(f"<code>{route.path}</code>" in page for route in ROUTES)
    assert not re.findall(r"(?:src|href)=[\"']https?://", page)
    assert "<script" not in page


def test_a_list_takes_limit_and_cursor_and_gives_items_and_next_cursor() -> None:
    for route in ROUTES:
        if "next_cursor" in route.answer.model_fields:
            assert route.query is not NoQuery
            assert {"limit", "cursor"} <= set(route.query.model_fields)
            assert "items" in route.answer.model_fields


def test_health_and_readiness_are_open_and_metrics_have_their_own_token(api: Apis, settings: Any) -> None:  # noqa: ANN401
    assert api(None).get("/health").json == {"status": "ok"}
    ready = api(None).get("/ready")
    assert ready.status_code == 200
    assert ready.json is not None
    assert (ready.json["database"], ready.json["migrations"], ready.json["canary"]) == ("ok", "ok", "waiting")
    assert api(None).get("/metrics").status_code == 401
    assert api("boss", Role.OPERATOR).get("/metrics").status_code == 401
    secret = settings.metrics_token_file.read_text().strip()
    scraped = api(None).call("GET", "/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert scraped.status_code == 200
    assert b'wakebridge_http_requests_total{method="GET",route="/ready",status="200"}' in scraped.data
