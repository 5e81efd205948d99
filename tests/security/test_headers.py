"""Headers: what every answer says to a browser; and what a caller's own headers cannot do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from flask import Flask
from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders
from werkzeug.test import TestResponse

from bridge.config import Settings
from bridge.core.states import Role
from tests.security.places import NAMES, OBJECTS, concrete
from tests.support.web import Api
from web.app import load_routes
from web.worker import refusal

Apis = Callable[..., Api]
IDS = {**NAMES, **dict.fromkeys(OBJECTS, "some-id")}
PLAIN = ("/health", "/ready", "/metrics", "/openapi.json", "/docs", "/nowhere", "/v1/nowhere")


def answers(api: Apis) -> Iterator[tuple[str, TestResponse]]:
    """Every call, let in and refused; every plain page; what is not there; what is not allowed."""
    for route in load_routes():
        for caller in (api(None), api("boss", Role.OPERATOR)):
            yield route.path, caller.call(route.method, concrete(route.path, IDS))
    for path in PLAIN:
        yield path, api(None).get(path)
    yield "a wrong method", api("boss", Role.OPERATOR).call("PATCH", "/v1/threads")
    yield "a wrong body", api("boss", Role.OPERATOR).call("POST", "/v1/threads", data="{")


def test_every_answer_is_nosniff_unframed_unreferred_and_uncached_and_sets_no_cookie(api: Apis) -> None:
    for path, answer in answers(api):
        said = answer.headers
        assert said["X-Content-Type-Options"] == "nosniff", path
        assert said["Referrer-Policy"] == "no-referrer", path
        assert said["X-Frame-Options"] == "DENY", path
        assert said["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert said["Cache-Control"] == "no-store", path
        policy = said["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert "Set-Cookie" not in said, path
        assert "Access-Control-Allow-Origin" not in said, path
        assert said["X-Request-ID"], path


@pytest.mark.parametrize("error", [InvalidHeader("x"), LimitRequestHeaders("x")])
def test_what_is_not_even_http_is_answered_with_the_same_headers(error: Exception) -> None:
    head = refusal(error).partition(b"\r\n\r\n")[0].decode()
    for line in (
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
    ):
        assert line in head.split("\r\n")
    assert "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'" in head


def test_a_promise_of_https_is_made_by_https_alone(app: Flask) -> None:
    client = app.test_client()
    assert (
        "max-age="
        in client.get("/health", base_url="https://bridge.example").headers["Strict-Transport-Security"]
    )
    for headers in ({}, {"X-Forwarded-Proto": "https"}, {"Forwarded": "proto=https"}):
        assert "Strict-Transport-Security" not in client.get("/health", headers=headers).headers


class _Page(HTMLParser):
    """What of a page a browser would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.styles: list[str] = []
        self.wrong: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        if tag in ("script", "iframe", "object", "embed", "link", "img", "form", "base"):
            self.wrong.append(tag)
        self.wrong += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)


def test_the_pages_one_style_is_the_one_that_its_policy_names_and_it_has_no_script(api: Apis) -> None:
    answer = api(None).get("/docs")
    page = _Page()
    page.feed(answer.get_data(as_text=True))
    (style,) = page.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy
    assert page.wrong == []


@pytest.mark.parametrize(
    "given",
    [
        "a\r\nSet-Cookie: x=1",
        "a\nX-Evil: 1",
        "a\tb",
        "ä",
        "<script>",
        "x" * 129,
        "a b",
        "",
        "%0d%0aX-Evil: 1",
        "\u202e",
    ],
)
def test_a_request_id_that_is_none_is_not_echoed(app: Flask, given: str) -> None:
    environ = {"HTTP_X_REQUEST_ID": given.encode("utf-8").decode("latin-1")}
    answer = app.test_client().get("/v1/inbox", environ_overrides=environ)
    assert re.fullmatch(r"req_[0-9A-Za-z-]+", answer.headers["X-Request-ID"])
    assert "X-Evil" not in answer.headers
    assert json.loads(answer.data)["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("name", ["HTTP_TRACEPARENT", "HTTP_IDEMPOTENCY_KEY"])
def test_other_headers_are_of_their_form_or_have_no_effect(api: Apis, name: str) -> None:
    boss = api("boss", Role.OPERATOR)
    answer = boss.call("POST", "/v1/threads", {"title": "x"}, environ_overrides={name: "a\r\nX-Evil: 1"})
    assert answer.status_code in (201, 400)
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    "path", ["//evil.example/", "/\\evil.example", "/v1//threads", "/docs/", "/v1/threads/"]
)
def test_no_path_sends_a_caller_elsewhere(api: Apis, path: str) -> None:
    answer = api("boss", Role.OPERATOR).get(path)
    assert answer.status_code == 404
    assert "Location" not in answer.headers


def test_the_web_listens_on_loopback_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRIDGE_BIND", "BRIDGE_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert Settings().bind == "127.0.0.1"
