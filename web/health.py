"""What is open to everybody: is it alive, is it ready, what can it do. And the scrape, which has its own token.

Rules of this file:

- Nothing here is under /v1, takes a body, or answers with anything of a workspace's.
- Readiness never waits for the broker: whether it answers is known from the subscriber.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from flask import Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from prometheus_client import REGISTRY as OWN_REGISTRY

from bridge.config import metrics_dir
from bridge.core.errors import Unauthorized, Unavailable
from bridge.queries.readiness import readiness
from web.access import bearer, same_secret
from web.headers import page_policy
from web.openapi import STYLE, docs_page, openapi
from web.routing import TABLE, Services

JSON = "application/json"
View = Callable[[], Response]


def plain_views(services: Services) -> dict[str, View]:
    """The paths without a bearer token, and what answers there."""
    return {
        "/health": _health,
        "/ready": lambda: _ready(services),
        "/metrics": lambda: _metrics(services),
        "/openapi.json": lambda: Response(json.dumps(openapi(TABLE)), content_type=JSON),
        "/docs": _docs,
    }


def _docs() -> Response:
    policy = {"Content-Security-Policy": page_policy(STYLE)}
    return Response(docs_page(TABLE), headers=policy, content_type="text/html; charset=utf-8")


def _health() -> Response:
    return Response('{"status": "ok"}', content_type=JSON)


def _ready(services: Services) -> Response:
    services.listeners.start()
    try:
        found = readiness(services.deps)
        database, migrations, canary = "ok", found.migrations, found.canary
    except Unavailable:
        database, migrations, canary = "unavailable", "unknown", "unknown"
    ready = database == "ok" and migrations == "ok"
    said = {
        "status": "ready" if ready else "unavailable",
        "database": database,
        "migrations": migrations,
        "broker": "ok" if services.listeners.healthy else "degraded",
        "canary": canary,
    }
    return Response(json.dumps(said), status=200 if ready else 503, content_type=JSON)


def _metrics(services: Services) -> Response:
    if not same_secret(
        bearer(request.headers.get("Authorization")), _secret(services.settings.metrics_token_file)
    ):
        raise Unauthorized("the scrape token is another one")
    registry: CollectorRegistry = OWN_REGISTRY
    directory = metrics_dir()
    if directory is not None:
        registry = CollectorRegistry()
        _forget_the_dead(directory)
        multiprocess.MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _forget_the_dead(directory: Path) -> None:
    """A gauge of a process that was killed says nothing about now; counters of the dead still count."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)


def _secret(file: Path) -> str:
    try:
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unavailable("there is no scrape token here") from error
    if not secret:
        raise Unavailable("the scrape token is empty")
    return secret
