"""Error codes as HTTP problems (RFC 9457): the one table, and the one place that renders them."""

from __future__ import annotations

import json
import math
from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException

from bridge.core.errors import BridgeError, RateLimited

STATUS: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHORIZED": 401,
    "TOKEN_EXPIRED": 401,
    "TOKEN_REVOKED": 401,
    "FORBIDDEN": 403,
    "CLAIM_MISMATCH": 403,
    "INSUFFICIENT_AUTHORITY": 403,
    "OUT_OF_SCOPE_WORKSPACE": 403,
    "SIGNATURE_INVALID": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "TIMEOUT": 408,
    "CONFLICT": 409,
    "IDEMPOTENCY_CONFLICT": 409,
    "INVALID_TRANSITION": 409,
    "THREAD_NOT_OPEN": 409,
    "REPLAY": 409,
    "CURSOR_OUT_OF_RANGE": 409,
    "GONE": 410,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "RATE_LIMITED": 429,
    "HEADERS_TOO_LARGE": 431,
    "FENCE_REJECTED": 409,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
TITLES = {code: code.replace("_", " ").capitalize() for code in STATUS}
PROBLEM = "application/problem+json"
RETRY_AFTER_S = 1

_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    431: "HEADERS_TOO_LARGE",
}

_SAID = {
    "NOT_FOUND": "There is no such call: see /docs.",
    "METHOD_NOT_ALLOWED": "That path takes other methods: see the Allow header.",
}


def problem(code: str, detail: str, request_id: str, errors: list[dict[str, str]] | None = None) -> Response:
    """The answer that says what went wrong."""
    status = STATUS.get(code, STATUS["INTERNAL"])
    said: dict[str, Any] = {
        "type": f"urn:wakebridge:error:{code.lower()}",
        "title": TITLES.get(code, "Internal"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if errors:
        said["errors"] = errors
    response = Response(json.dumps(said), status=status, content_type=PROBLEM)
    if status == STATUS["UNAUTHORIZED"]:
        response.headers["WWW-Authenticate"] = 'Bearer realm="wakebridge"'
    if status == STATUS["UNAVAILABLE"]:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == STATUS["PAYLOAD_TOO_LARGE"]:
        # What was not read of the request must not be taken for the next one.
        response.headers["Connection"] = "close"
    return response


def of_error(error: BridgeError, request_id: str) -> Response:
    """The problem of an error of the tree."""
    response = problem(error.code, error.detail, request_id, getattr(error, "errors", None))
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(math.ceil(error.wait_s))
    return response


def of_http(error: HTTPException, request_id: str) -> Response:
    """The problem of what the framework refused."""
    status = error.code or STATUS["INTERNAL"]
    code = _OF_HTTP.get(status, "INVALID_ARGUMENT")
    response = problem(code, _SAID.get(code, error.description or error.name), request_id)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response
