"""A call that is deprecated says so in every answer, and in OpenAPI; one that is not says nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pydantic import BaseModel

from tests.support.web import Api, Mint
from web.api.inbox import read
from web.app import create_app, load_routes
from web.openapi import openapi
from web.routing import Call, Deprecated, NoBody, Reply, Services
from web.schemas.inbox import InboxQuery

LEAVING = Deprecated(
    since=datetime(2026, 6, 1, tzinfo=UTC),
    sunset=datetime(2027, 1, 1, tzinfo=UTC),
    guide="https://bridge.example/guide",
)


def old_read(call: Call[NoBody, InboxQuery]) -> BaseModel | Reply:
    """Read the inbox as it was once read."""
    return read(call)


def test_a_deprecated_call_says_until_when_and_what_to_use(services: Services, mint: Mint) -> None:
    (inbox,) = (route for route in load_routes() if route.path == "/v1/inbox")
    old = replace(inbox, path="/v1/old-inbox", handler=old_read, deprecated=LEAVING)
    client = create_app(services, [inbox, old]).test_client()
    for token, status in ((mint.token(), 200), (None, 401)):
        answer = Api(client, token).get("/v1/old-inbox")
        assert answer.status_code == status
        assert answer.headers["Deprecation"] == "@1780272000"
        assert answer.headers["Sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
        assert answer.headers["Link"] == '<https://bridge.example/guide>; rel="deprecation"; type="text/html"'
    assert not {"Deprecation", "Sunset", "Link"} & set(
        Api(client, mint.token()).get("/v1/inbox").headers.keys()
    )
    described = openapi([inbox, old])["paths"]
    assert described["/v1/old-inbox"]["get"]["deprecated"] is True
    assert "deprecated" not in described["/v1/inbox"]["get"]
