"""From bytes to a valid request, or a refusal that names the place. No input gets further than its bounds.

Rules of this file:

- JSON is read once by hand, for what models cannot see: duplicate keys, NaN, NUL, lone surrogates, nesting. How many
  values there are is bounded before that: others wait while one request is read.
- Unknown fields are refused, unless the payload's `schema_version` is higher than ours: then they are kept apart.
- Who the caller is comes from the token: a body may repeat it, and may not say otherwise.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_options_header

from bridge.core.content import Redaction, Screened
from bridge.core.errors import ClaimMismatch, InvalidArgument, PayloadTooLarge, UnsupportedMediaType
from bridge.ports.tokens import Claims

SCHEMA_VERSION = 1
"""The version of payloads that this code knows."""
CLAIMED = ("agent_id", "sender_agent_id", "session_id", "workspace_id")
ERRORS_MAX = 20
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
"""A string of JSON: the commas in it part no values."""
MESSAGE_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request's body as its model, and the fields of a later version that we do not know."""

    body: BaseModel
    unknown: Mapping[str, Any]
    redacted: tuple[Redaction, ...] = ()


Screen = Callable[[dict[str, Any]], Screened]
"""The content filter, as it stands for this caller."""


def check_media_type(content_type: str | None, encoding: str | None = None) -> None:
    """Raise UnsupportedMediaType unless it is JSON in UTF-8, as it is."""
    if encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("a body is sent as it is: no Content-Encoding")
    kind, options = parse_options_header(content_type or "")
    if kind.lower() != "application/json" or options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType


def read_object(raw: bytes, *, bytes_max: int, nesting_max: int, values_max: int) -> dict[str, Any]:
    """The JSON object in `raw`. Raises InvalidArgument and PayloadTooLarge."""
    if len(raw) > bytes_max:
        raise PayloadTooLarge(f"a request has at most {bytes_max} bytes")
    if _values(raw, values_max) > values_max:
        raise InvalidArgument(f"a request has at most {values_max} values")
    try:
        text = raw.decode("utf-8")
        found = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise InvalidArgument(f"nested deeper than {nesting_max} levels") from error
        raise InvalidArgument(f"the body is not valid JSON: {_short(str(error))}") from error
    if not isinstance(found, dict):
        raise InvalidArgument("the body must be a JSON object")
    _check(found, nesting_max)
    return found


def parse(
    model: type[BaseModel],
    raw: bytes,
    claims: Claims,
    screen: Screen = Screened,
    /,
    *,
    bytes_max: int,
    nesting_max: int,
    values_max: int,
) -> Parsed:
    """The body as `model`, once `screen` has let it pass. Raises InvalidArgument, ClaimMismatch, PayloadTooLarge."""
    bounds = {"bytes_max": bytes_max, "nesting_max": nesting_max, "values_max": values_max}
    said = read_object(raw, **bounds) if raw.strip() else {}
    screened = screen(_without_claims(model, said, claims))
    said = screened.said
    unknown: dict[str, Any] = {}
    if _is_later(said.get("schema_version")):
        unknown = {name: value for name, value in said.items() if name not in model.model_fields}
        said = {name: value for name, value in said.items() if name not in unknown}
    try:
        # Through JSON again: strict models take strings for enums and times from JSON alone.
        return Parsed(model.model_validate_json(json.dumps(said)), unknown, screened.redacted)
    except ValidationError as error:
        raise invalid(error) from error


def parse_query(model: type[BaseModel], given: MultiDict[str, str]) -> BaseModel:
    """The query string as `model`. Raises InvalidArgument."""
    flat = given.to_dict(flat=False)
    for name, values in flat.items():
        if len(values) > 1:
            raise InvalidArgument("given more than once", path=_short(name))
        _check_text(name)
        _check_text(values[0])
    try:
        return model.model_validate({name: values[0] for name, values in flat.items()})
    except ValidationError as error:
        raise invalid(error) from error


def invalid(error: ValidationError) -> InvalidArgument:
    """The refusal that names each place."""
    refusal = InvalidArgument("the request has values that are not allowed")
    refusal.errors = [
        {
            "path": ".".join(str(part) for part in item["loc"]),
            "message": _short(item["msg"].removeprefix("Value error, ")),
        }
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_MAX]
    ]
    first = refusal.errors[0]
    refusal.detail = f"{first['path']}: {first['message']}" if first["path"] else first["message"]
    return refusal


def _without_claims(model: type[BaseModel], said: dict[str, Any], claims: Claims) -> dict[str, Any]:
    for name in CLAIMED:
        if name in said and name not in model.model_fields:
            if said[name] != getattr(claims, "agent_id" if name == "sender_agent_id" else name):
                raise ClaimMismatch(f"the body's {name} is not the token's")
            said = {other: value for other, value in said.items() if other != name}
    return said


def _is_later(version: object) -> bool:
    return isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION


def _values(raw: bytes, enough: int) -> int:
    """About how many values the JSON has, told by its commas before it is read: 100,000 took 40 ms to refuse."""
    commas = raw.count(b",")
    return commas + 1 if commas < enough else STRING.sub(b"", raw).count(b",") + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 40:  # noqa: PLR2004  longer than anything that is counted; also what int() takes long for
        raise ValueError("a number is too large")
    return int(text)


def _check(root: dict[str, Any], nesting_max: int) -> None:
    """Walk the whole value, without recursion: an object within an object is as deep as it says."""
    level: list[Any] = [root]
    for _ in range(nesting_max):
        deeper: list[Any] = []
        for value in level:
            inner: Iterable[Any] = value
            if isinstance(value, dict):
                for name in value:
                    _check_text(name)
                inner = value.values()
            for item in inner:
                if isinstance(item, str):
                    _check_text(item)
                elif isinstance(item, dict | list):
                    deeper.append(item)
        if not deeper:
            return
        level = deeper
    raise InvalidArgument(f"nested deeper than {nesting_max} levels")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise InvalidArgument("a NUL character is not allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidArgument("a lone surrogate is not text") from error


def _short(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean[:MESSAGE_CHARS_MAX]
