"""What the content filter lets through, takes out and refuses; and that no secret is in what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.core.content import ContentFilter, Secret, screen, without
from bridge.core.errors import InvalidArgument, SecretFound
from bridge.core.policy import Policy, from_data, to_data

SECRET = "s3cret-42"
SAID: dict[str, Any] = {
    "body": f"take {SECRET} and {SECRET}",
    "event": {"type": "finding_reported", "text": f"found {SECRET}", "line": 7},
    "metadata": {"a": [None, True, 1.5, {"b": SECRET}]},
    "to": ["bob"],
}


def find(text: str) -> tuple[Secret, ...]:
    return tuple(
        Secret("test key", match.start(), match.end()) for match in re.finditer("s3cret-[0-9]+", text)
    )


def test_off_looks_at_nothing() -> None:
    def never(text: str) -> tuple[Secret, ...]:
        raise AssertionError(text)

    screened = screen(SAID, ContentFilter.OFF, never)
    assert screened.said is SAID
    assert screened.redacted == ()


def test_redacting_leaves_no_secret_anywhere_and_tells_each_place() -> None:
    screened = screen(SAID, ContentFilter.REDACT, find)
    assert SECRET not in str(screened)
    assert screened.said["body"] == "take [redacted: test key] and [redacted: test key]"
    assert screened.said["event"] == {
        "type": "finding_reported",
        "text": "found [redacted: test key]",
        "line": 7,
    }
    assert screened.said["metadata"] == {"a": [None, True, 1.5, {"b": "[redacted: test key]"}]}
    assert [one.path for one in screened.redacted] == ["body", "body", "event.text", "metadata.a.3.b"]
    assert SECRET in SAID["body"], "the caller's own is left as it is"
    assert screen(screened.said, ContentFilter.REFUSE, find).redacted == ()


def test_refusing_names_the_place_and_the_kind_and_never_the_secret() -> None:
    with pytest.raises(SecretFound) as refused:
        screen(SAID, ContentFilter.REFUSE, find)
    assert refused.value.code == InvalidArgument.code
    assert refused.value.errors[2] == {"path": "event.text", "message": "a secret: test key"}
    assert SECRET not in f"{refused.value.detail} {refused.value.errors} {refused.value.facts}"


@pytest.mark.parametrize("mode", [ContentFilter.REDACT, ContentFilter.REFUSE])
def test_a_secret_that_is_a_name_is_refused_in_both_and_not_told_in_a_path(mode: ContentFilter) -> None:
    with pytest.raises(SecretFound) as refused:
        screen({"metadata": {SECRET: {"x": SECRET}}}, mode, find)
    assert refused.value.errors[0]["path"] == "metadata"
    assert SECRET not in f"{refused.value.detail} {refused.value.errors} {refused.value.facts}"


def test_the_same_request_comes_out_the_same() -> None:
    assert screen(SAID, ContentFilter.REDACT, find) == screen(dict(SAID), ContentFilter.REDACT, find)


def test_what_stands_around_a_secret_stays() -> None:
    assert without("abXXcdXXe", (Secret("k", 2, 4), Secret("l", 6, 8))) == "ab[redacted: k]cd[redacted: l]e"


def test_the_filter_is_a_field_of_the_policy_and_off_unless_it_is_set() -> None:
    assert Policy().content_filter is ContentFilter.OFF
    assert from_data({"content_filter": "refuse"}).content_filter is ContentFilter.REFUSE
    assert to_data(from_data({"content_filter": "redact"}))["content_filter"] == "redact"
    for wrong in ("on", "", None, True, 1, ["off"]):
        with pytest.raises(InvalidArgument, match="content_filter must be off or redact or refuse"):
            from_data({"content_filter": wrong})
