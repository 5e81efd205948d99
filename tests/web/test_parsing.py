"""Bytes that are no request: each is refused by name, none gets a 500."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.errors import BridgeError, InvalidArgument
from bridge.core.states import Role
from bridge.ports.tokens import Claims
from tests.support.web import Api
from web.parsing import parse, read_object
from web.schemas.message import PostMessage

Apis = Callable[..., Api]
CLAIMS = Claims("alice", "ws_1", Role.PARTICIPANT, "ses_alice", "jti", 0, 0)
BOUNDS = {"bytes_max": 262_144, "nesting_max": 32, "values_max": 10_000}
GARBAGE = [
    b'{"body": "a", "body": "b"}',
    b'{"body": "\\u0000"}',
    b'{"body": "\\ud800"}',
    b'{"body": NaN}',
    b'{"body": Infinity}',
    b'{"metadata": {"x": 1e999}}',
    b'{"metadata": {"x": ' + b"9" * 5000 + b"}}",
    b'{"metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
    b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"\\u0000": 1}',
    b"[1]",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b'{"body": "\xff"}',
    b'\xef\xbb\xbf{"body": "x"}',
]


@pytest.mark.parametrize("raw", GARBAGE)
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_object(raw, bytes_max=1_000_000, nesting_max=32, values_max=10_000)


def test_nesting_is_allowed_up_to_its_bound() -> None:
    for depth, fine in ((32, True), (33, False)):
        raw = b'{"a":' * depth + b"1" + b"}" * depth
        if fine:
            read_object(raw, **BOUNDS)
        else:
            with pytest.raises(InvalidArgument):
                read_object(raw, **BOUNDS)


def test_values_are_allowed_up_to_their_bound_and_what_a_text_says_is_one_value() -> None:
    for count, fine in ((9_999, True), (10_000, False)):
        raw = json.dumps({"body": 'a,"b\\,' * 5_000, "to": [1] * count}).encode()
        if fine:
            read_object(raw, **BOUNDS)
        else:
            with pytest.raises(InvalidArgument, match="at most 10000 values"):
                read_object(raw, **BOUNDS)


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300, deadline=None)
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    try:
        parse(PostMessage, raw, CLAIMS, **BOUNDS)
    except BridgeError as error:
        assert error.code in ("INVALID_ARGUMENT", "CLAIM_MISMATCH", "PAYLOAD_TOO_LARGE")  # noqa: PT017


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*PostMessage.model_fields, "x", "agent_id"]), JSON, max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_object_is_parsed_or_refused(said: dict[str, object]) -> None:

    try:
        parse(PostMessage, json.dumps(said).encode(), CLAIMS, **BOUNDS)
    except BridgeError as error:
        assert error.code in ("INVALID_ARGUMENT", "CLAIM_MISMATCH", "PAYLOAD_TOO_LARGE")  # noqa: PT017


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=latin-1", "", "application/xml"])
def test_another_media_type_is_refused(api: Apis, kind: str) -> None:
    chief = api("chief", Role.COORDINATOR)
    answer = chief.call("POST", "/v1/threads", data=b'{"title": "x"}', content_type=kind)
    assert answer.status_code == 415
    assert answer.json is not None
    assert answer.json["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_refusal_names_each_place(api: Apis) -> None:
    answer = api("chief", Role.COORDINATOR).post(
        "/v1/threads", {"title": "", "type": "party", "participants": [{"agent_id": "a b"}]}
    )
    assert answer.status_code == 400
    assert answer.json is not None
    assert {place["path"] for place in answer.json["errors"]} == {"title", "type", "participants.0.agent_id"}
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert set(answer.json) == {"type", "title", "status", "detail", "code", "request_id", "errors"}


def test_a_request_id_is_echoed_if_it_is_one_and_made_if_not(api: Apis) -> None:
    for given_id, echoed in (("abc-123", True), ("x" * 200, False), ("a b", False)):
        answer = api("alice").call("GET", "/v1/threads", headers={"X-Request-ID": given_id})
        assert (answer.headers["X-Request-ID"] == given_id) is echoed


@pytest.mark.parametrize(
    "path",
    [
        "/v1/threads/%00/messages",
        "/v1/threads/%ff",
        "/v1/threads/" + "a" * 500,
        "/v1/threads?limit=9999",
        "/v1/threads?limit=1&limit=2",
        "/v1/threads?q=%00",
        "/v1/threads?cursor=%F0%9F%98%80",
        "/v1/threads?cursor=WzEsMl0",
        "/v1/threads?unknown=1",
        "/v1/inbox?wait_s=nan",
        "/v1/inbox?wait_s=1e9",
        "/v1/wakes?state=asleep",
        "/nowhere",
        "/v1/",
        "/v1//threads",
        "/v1/threads/",
    ],
)
def test_odd_addresses_are_refused_with_a_problem(api: Apis, path: str) -> None:
    answer = api("alice").get(path)
    assert answer.status_code in (400, 404)
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("moment", ["-1.3742869923002057e-148", "0", "1700000000", "12:00", "2026-12-01"])
def test_a_moment_is_written_out_and_never_a_number_of_seconds(api: Apis, moment: str) -> None:
    answer = api("alice").get("/v1/search", q="x", since=moment)
    assert answer.json is not None
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (400, "since")
    with pytest.raises(InvalidArgument):
        parse(PostMessage, json.dumps({"body": "x", "not_before": moment}).encode(), CLAIMS, **BOUNDS)
    with pytest.raises(InvalidArgument):
        parse(PostMessage, b'{"body": "x", "not_before": 1700000000}', CLAIMS, **BOUNDS)


def test_a_moment_that_is_written_out_is_taken(api: Apis) -> None:
    assert api("alice").get("/v1/search", q="x", since="2026-12-01T02:03:04Z").status_code == 200
    body = {"body": "x", "not_before": "2026-12-01T02:03:04+01:00"}
    parse(PostMessage, json.dumps(body).encode(), CLAIMS, **BOUNDS)
