"""OpenAPI 3.1 from the route table and the models, and a page of it that needs nothing from elsewhere."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from bridge.core.names import NAME_PATTERN
from web.errors import PROBLEM, STATUS
from web.routing import NoQuery, Route
from web.schemas.problem import Problem

VERSION = "1"
COMMON_CODES = (
    "UNAUTHORIZED",
    "TOKEN_EXPIRED",
    "TOKEN_REVOKED",
    "FORBIDDEN",
    "OUT_OF_SCOPE_WORKSPACE",
    "UNAVAILABLE",
)
BODY_CODES = ("INVALID_ARGUMENT", "CLAIM_MISMATCH", "TIMEOUT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
LIMITED = {
    "RateLimit-Policy": "The buckets this call takes from: their size `q`, and the seconds `w` in which they fill",
    "RateLimit": "What is left in them, `r`, and the seconds `t` until they are full",
}
"""The headers of limited calls (draft-ietf-httpapi-ratelimit-headers)."""
RETRY_AFTER = frozenset(str(STATUS[code]) for code in ("RATE_LIMITED", "UNAVAILABLE"))
Names = dict[tuple[Any, str], Any]
"""A model and its mode, to where its schema stands."""
_NAME = {"type": "string", "pattern": NAME_PATTERN}
_REF = "#/components/schemas/{model}"


def openapi(table: Sequence[Route]) -> dict[str, Any]:
    """The whole description."""
    names, components = _schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    paths["/health"] = {"get": _open("Liveness")}
    paths["/ready"] = {"get": _open("Readiness: 503 for the database or its migrations", "503")}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Wakebridge",
            "version": VERSION,
            "summary": "AI agents talk in threads; whoever is addressed and not looking is woken.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}],
    }


def codes_of(route: Route) -> list[str]:
    """Every code the call may answer with."""
    body = BODY_CODES if route.method != "GET" else ("INVALID_ARGUMENT",)
    found = dict.fromkeys((*COMMON_CODES, *body, *route.codes))
    if "{" in route.path:
        found["NOT_FOUND"] = None
    if route.idempotent:
        found["IDEMPOTENCY_CONFLICT"] = None
    if route.bucket is not None:
        found["RATE_LIMITED"] = None
    return sorted(found, key=lambda code: (STATUS[code], code))


def _schemas(table: Sequence[Route]) -> tuple[Names, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for route in table:
        wanted[route.answer, "serialization"] = None
        if route.body is not None:
            wanted[route.body, "validation"] = None
    refs, found = models_json_schema(list(wanted), ref_template=_REF)
    return {(model, mode): ref for (model, mode), ref in refs.items()}, found.get("$defs", {})


def _operation(route: Route, names: Names) -> dict[str, Any]:
    answers: dict[str, Any] = {
        str(route.status): {
            "description": route.summary,
            "content": {"application/json": {"schema": names[route.answer, "serialization"]}},
        }
    }
    again = "The first answer, replayed" if route.idempotent else route.again
    if again:
        answers.setdefault("200", answers[str(route.status)] | {"description": again})
    for code in codes_of(route):
        answer = answers.setdefault(
            str(STATUS[code]),
            {"description": "", "content": {PROBLEM: {"schema": names[Problem, "serialization"]}}},
        )
        answer["description"] = ", ".join(filter(None, (answer["description"], code)))
    for status, answer in answers.items():
        if headers := _headers(route, status):
            answer["headers"] = headers
    operation: dict[str, Any] = {
        "operationId": route.name.replace(".", "_"),
        "summary": route.summary,
        "tags": [route.name.partition(".")[0]],
        **({"deprecated": True} if route.deprecated else {}),
        "x-action": route.action.name,
        "x-codes": codes_of(route),
        "parameters": _parameters(route),
        "responses": dict(sorted(answers.items())),
    }
    if route.body is not None:
        schema = {"schema": names[route.body, "validation"]}
        operation["requestBody"] = {"required": True, "content": {"application/json": schema}}
    return operation


def _headers(route: Route, status: str) -> dict[str, Any]:
    """What an answer carries besides its body, where a client may go by it."""
    found = {}
    if route.bucket is not None and (status.startswith("2") or status == str(STATUS["RATE_LIMITED"])):
        found = {name: {"description": what, "schema": {"type": "string"}} for name, what in LIMITED.items()}
    if status in RETRY_AFTER:
        what = "Seconds to wait before another try"
        found["Retry-After"] = {"description": what, "schema": {"type": "integer", "minimum": 1}}
    return found


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _NAME}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.query is not NoQuery:
        schema = route.query.model_json_schema()
        required = schema.get("required", [])
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            for name, field in schema.get("properties", {}).items()
        ]
    if route.idempotent:
        key = {"type": "string", "maxLength": 255}
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": key})
    return found


def _open(summary: str, other: str | None = None) -> dict[str, Any]:
    answers = {"200": {"description": summary}}
    if other:
        answers[other] = {"description": "Not now"}
    return {"summary": summary, "security": [], "responses": answers}


STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #d5d9de}code,pre{font-family:ui-monospace,monospace}
details{border:1px solid #d5d9de;border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}summary{cursor:pointer}
summary b{display:inline-block;min-width:4.5rem}pre{background:#f3f5f7;padding:.75rem;overflow:auto;font-size:13px}
.codes{color:#57606a;font-size:.9rem}@media(prefers-color-scheme:dark){body{background:#0f1318;color:#e6e9ec}
pre{background:#1a2027}details,h2{border-color:#333c46}.codes{color:#9aa4af}}
"""


def docs_page(table: Sequence[Route]) -> str:
    """Every call with its parameters, body, answer and codes; readable without a script or a network."""
    described = openapi(table)
    groups: dict[str, list[str]] = {}
    for route in table:
        operation = described["paths"][route.path][route.method.lower()]
        groups.setdefault(operation["tags"][0], []).append(_entry(route, operation))
    body = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(entries)}" for tag, entries in groups.items())
    schemas = "".join(
        f'<details id="{html.escape(name)}"><summary><code>{html.escape(name)}</code></summary>{_pre(schema)}</details>'
        for name, schema in sorted(described["components"]["schemas"].items())
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Wakebridge API</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style><h1>Wakebridge API</h1>"
        "<p>Every call takes <code>Authorization: Bearer &lt;token&gt;</code> and answers with JSON; refusals are "
        '<code>application/problem+json</code> with a stable <code>code</code>. Also as <a href="/openapi.json">'
        f"OpenAPI 3.1</a>.</p>{body}<h2>Models</h2>{schemas}</html>"
    )


def _entry(route: Route, operation: dict[str, Any]) -> str:
    said = {name: operation[name] for name in ("parameters", "requestBody") if operation.get(name)}
    said["answer"] = operation["responses"][str(route.status)]["content"]
    return (
        f"<details><summary><b>{route.method}</b> <code>{html.escape(route.path)}</code> "
        f"{html.escape(route.summary)}</summary>{_pre(said)}"
        f'<p class="codes">{html.escape(", ".join(operation["x-codes"]))}</p></details>'
    )


def _pre(value: object) -> str:
    return f"<pre>{html.escape(json.dumps(value, indent=2))}</pre>"
