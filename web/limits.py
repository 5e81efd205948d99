"""Limits of calls: which buckets one takes from, and what its answer says of them."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, after_this_request

from bridge.adapters.metrics import rate_limited
from bridge.core.caller import Caller
from bridge.core.errors import RateLimited
from bridge.core.limits import Rate, Standing, policy_field, standing_field
from web.routing import Route, Services

THREAD = "thread_id"


def take(services: Services, route: Route, caller: Caller, path: Mapping[str, str]) -> None:
    """Take the call from its agent's bucket, then from its thread's. Raises RateLimited.

    Whatever the answer becomes, it says how the buckets stand. An agent that is refused takes nothing from the thread.
    """
    if route.bucket is None:
        return
    rates = services.deps.policies.current(caller.workspace_id).rates(route.bucket)
    buckets = {"agent": (caller.agent_id, rates.agent)}
    if THREAD in path:
        buckets["thread"] = (path[THREAD], rates.thread)
    found: dict[str, tuple[Rate, Standing]] = {}
    _say(found)
    for whose, (name, rate) in buckets.items():
        key = f"{caller.workspace_id}/{route.bucket}/{whose}/{name}"
        standing = services.limits.take(key, rate)
        found[f"{route.bucket}-{whose}"] = rate, standing
        if standing.is_refused:
            rate_limited.labels(route.bucket).inc()
            detail = f"too many {route.bucket} by this {whose}: try again when Retry-After says"
            raise RateLimited(detail, wait_s=standing.wait_s)


def _say(found: Mapping[str, tuple[Rate, Standing]]) -> None:
    """Let the answer to this request carry the headers."""

    @after_this_request
    def mark(response: Response) -> Response:
        policies = (policy_field(name, rate) for name, (rate, _) in found.items())
        standings = (standing_field(name, standing) for name, (_, standing) in found.items())
        response.headers["RateLimit-Policy"] = ", ".join(policies)
        response.headers["RateLimit"] = ", ".join(standings)
        return response
