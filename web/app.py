"""The WSGI app: every request goes through `_serve`, whatever its route.

In this order: request id, token, limits, role, body, handler, answer; then log and figures, whatever happened. Errors
of the tree become problems in `web.errors`; anything else is our fault, logged with its trace, and says nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from pydantic import BaseModel
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, RequestTimeout

import web.api
from bridge.adapters.metrics import http_duration, http_requests, security_events
from bridge.adapters.timing import stopwatch
from bridge.core.caller import Caller
from bridge.core.content import Redaction, Screened, screen
from bridge.core.errors import (
    BridgeError,
    Forbidden,
    InvalidArgument,
    NotFound,
    OutOfScopeWorkspace,
    PayloadTooLarge,
    SecretFound,
    Unauthorized,
)
from bridge.core.names import KEY_PATTERN, NAME_PATTERN, fits
from bridge.ports.tokens import Claims
from web import limits
from web.access import authorise, bearer, caller_of, request_id
from web.arrival import TooSlow
from web.errors import of_error, of_http, problem
from web.headers import secure
from web.health import plain_views
from web.parsing import Parsed, check_media_type, parse, parse_query
from web.routing import TABLE, Call, NoBody, NoQuery, Reply, Route, Services
from web.schemas.base import RedactedAnswer

log = structlog.get_logger("web")
DRAINED_BYTES_MAX = 8 * 1024 * 1024
DRAINED_CHUNK_BYTES = 64 * 1024
WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def load_routes() -> list[Route]:
    """The whole table: every module of web/api registers its own."""
    for module in pkgutil.iter_modules(web.api.__path__):
        importlib.import_module(f"web.api.{module.name}")
    return TABLE


def create_app(services: Services, table: Sequence[Route] | None = None) -> Flask:
    """The app over these services, with every call there is or those given; it opens no connection by itself."""
    app = Flask("wakebridge", static_folder=None)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.merge_slashes = False  # an address is right or is none: nobody is sent elsewhere
    for route in load_routes() if table is None else table:
        rule = route.path.replace("{", "<").replace("}", ">")
        view = _view(services, route)
        app.add_url_rule(rule, route.name, view, methods=[route.method], provide_automatic_options=False)
    for path, plain in plain_views(services).items():
        app.add_url_rule(path, path, _plain(services, path, plain), provide_automatic_options=False)
    app.register_error_handler(HTTPException, _refused(services))
    return app


def _view(services: Services, route: Route) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        response = _observed(services, route.path, lambda rid: _serve(services, route, path, rid))
        response.headers.extend(route.deprecated.headers() if route.deprecated else {})
        return response

    return view


def _plain(services: Services, path: str, view: Callable[[], Response]) -> Callable[..., Response]:
    def observed() -> Response:
        return _observed(services, path, lambda _rid: view())

    return observed


def _refused(services: Services) -> Callable[[HTTPException], Response]:
    def refused(error: HTTPException) -> Response:
        return _observed(services, "(none)", lambda rid: of_http(error, rid))

    return refused


def _observed(services: Services, template: str, work: Callable[[str], Response]) -> Response:
    """Do the work under a request id; count and log it by the route's template, never by its path."""
    passed_s = stopwatch()
    rid = request_id(request.headers, services.deps.ids.new("req_"))
    with structlog.contextvars.bound_contextvars(request_id=rid):
        try:
            # The router would look past a second slash.
            doubled = request.environ["PATH_INFO"].startswith("//")
            response = of_error(NotFound(), rid) if doubled else work(rid)
        except BridgeError as error:
            response = of_error(error, rid)
            if isinstance(error, Unauthorized):
                services.watch.stranger(error, template)
        except HTTPException as error:
            response = of_http(error, rid)
        except Exception:
            log.exception("request.crashed", route=template)
            response = problem("INTERNAL", "the bridge failed; the request id finds it in the log", rid)
        response.headers["X-Request-ID"] = rid
        secure(response.headers, by_https=request.is_secure)
        _note(template, response, passed_s())
    return response


def _note(template: str, response: Response, seconds: float) -> None:
    method = request.method if request.method in ("GET", "HEAD", *WITH_BODY) else "other"
    http_requests.labels(template, method, str(response.status_code)).inc()
    http_duration.labels(template, method).observe(seconds)
    quiet = template in ("/health", "/ready", "/metrics")
    (log.debug if quiet else log.info)(
        "request.completed",
        route=template,
        method=method,
        status=response.status_code,
        ms=round(seconds * 1000, 1),
    )


def _serve(services: Services, route: Route, path: dict[str, str], rid: str) -> Response:
    claims = _claims(services, route)
    caller = caller_of(claims, request.headers, rid)
    structlog.contextvars.bind_contextvars(agent_id=caller.agent_id, workspace_id=caller.workspace_id)
    try:
        call = _call(services, route, path, claims, caller)
        answer = route.handler(call)
    except (Forbidden, NotFound) as error:
        services.watch.denied(services.deps, caller, route, path, error)
        raise
    except SecretFound as error:
        services.watch.secret(services.deps, caller, route, error)
        raise
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    if call.redacted:
        told = [RedactedAnswer.model_validate(one) for one in call.redacted]
        reply = replace(reply, body=reply.body.model_copy(update={"redacted": told}))
        security_events.labels("secret_redacted", "low").inc(len(told))
    status = 200 if reply.replayed else reply.status or route.status
    response = Response(reply.body.model_dump_json(), status=status, content_type="application/json")
    if reply.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _claims(services: Services, route: Route) -> Claims:
    """Whose token it is. A token is taken from its header alone: addresses end up in logs and histories."""
    try:
        return services.tokens.verify(bearer(request.headers.get("Authorization")))
    except OutOfScopeWorkspace as error:
        services.watch.stranger(error, route.path)
        raise


def _call(
    services: Services, route: Route, path: dict[str, str], claims: Claims, caller: Caller
) -> Call[Any, Any]:
    """The request as a call: allowed by the role first, then parsed."""
    if not all(fits(NAME_PATTERN, value) for value in path.values()):
        raise NotFound
    limits.take(services, route, caller, path)
    nothing: Call[Any, Any] = Call(services, claims, caller, path, NoBody(), NoQuery())
    authorise(nothing, route)
    parsed = _body(services, route, claims)
    query, redacted = _query(services, route, claims.workspace_id)
    return Call(
        services=services,
        claims=claims,
        caller=caller,
        path=path,
        body=parsed.body,
        query=query,
        key=_key() if route.idempotent else None,
        unknown=parsed.unknown,
        redacted=(*parsed.redacted, *redacted),
    )


def _body(services: Services, route: Route, claims: Claims) -> Parsed:
    settings = services.settings
    if route.method not in WITH_BODY:
        return Parsed(NoBody(), {})
    raw = _received(settings.request_bytes_max + 1)
    if raw.strip() or route.body is not None:
        check_media_type(request.content_type, request.content_encoding)
    bounds = {
        "bytes_max": settings.request_bytes_max,
        "nesting_max": settings.nesting_max,
        "values_max": settings.values_max,
    }
    checked = partial(_screened, services, claims.workspace_id) if route.screened else Screened
    return parse(route.body or NoBody, raw, claims, checked, **bounds)


def _query(services: Services, route: Route, workspace_id: str) -> tuple[BaseModel, tuple[Redaction, ...]]:
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument("the query is not UTF-8") from error
    query = parse_query(route.query, request.args)
    if not route.screened or route.query is NoQuery:
        return query, ()
    screened = _screened(services, workspace_id, request.args.to_dict())
    return parse_query(route.query, MultiDict(screened.said)), screened.redacted


def _screened(services: Services, workspace_id: str, said: dict[str, Any]) -> Screened:
    deps = services.deps
    return screen(said, deps.policies.current(workspace_id).content_filter, deps.secrets.find)


def _received(bytes_max: int) -> bytes:
    """What was sent, up to the bound. Raises InvalidArgument for a body that ends early or is chunked wrongly."""
    said = request.content_length or 0
    try:
        raw = request.stream.read(bytes_max)
        left = DRAINED_BYTES_MAX if len(raw) == bytes_max else 0
        while left > 0 and (more := request.stream.read(min(left, DRAINED_CHUNK_BYTES))):
            left -= len(more)  # who sends too much reads our refusal only when it was let finish
    except TooSlow as error:
        if said >= bytes_max:
            raise PayloadTooLarge(f"a request has at most {bytes_max - 1} bytes") from error
        raise RequestTimeout("The request did not arrive in time.") from error
    except (OSError, ParseException) as error:
        raise InvalidArgument("the body did not come as its headers say") from error
    if len(raw) < min(said, bytes_max):
        raise InvalidArgument("the body is shorter than its Content-Length")
    return raw


def _key() -> str | None:
    given = request.headers.get("Idempotency-Key")
    if given is not None and not fits(KEY_PATTERN, given):
        raise InvalidArgument("1 to 255 visible ASCII characters, without blanks", path="Idempotency-Key")
    return given
