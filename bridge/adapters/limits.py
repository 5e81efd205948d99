"""Buckets of calls: counted in this process, and in the broker's Valkey for all processes together.

Rules of this file:

- The local count comes first: one process never let through more than all did, so its refusal needs no question.
- The store has 20 ms. When it does not answer, the call goes on by the local count, and a breaker keeps the next ones
  from asking: a frozen broker costs a few calls 20 ms, and then one now and again.
- A bucket in the store is one key that expires when the bucket is full. Losing it (FLUSHALL) fills the bucket, no more.
- A broker that is no Redis has no store: each process counts for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from redis.backoff import NoBackoff
from redis.retry import Retry
from throttled import BaseRateLimiter, BaseStore, MemoryStore, RateLimitResult, RedisStore, per_min
from throttled.exceptions import StoreUnavailableError
from throttled.rate_limiter.gcra import GCRARateLimiter

from bridge.adapters.breaker import Breaker
from bridge.adapters.celery_options import KEY_PREFIX
from bridge.adapters.metrics import rate_limit_store_failures
from bridge.adapters.pubsub import redis_url
from bridge.core.limits import Rate, Standing

STORE_S_MAX = 0.02
"""How long the store may take: for a connection, and for an answer."""
STORE_CONNECTIONS_MAX = 64
LOCAL_BUCKETS_MAX = 50_000
"""The least used are forgotten first: they are full again."""
RATES_MAX = 256
FAILURES_MAX = 2
WAIT_S_MIN = 0.001
PREFIX = f"{KEY_PREFIX}limits"


class Limits:
    """All buckets. Opens no connection before the first call."""

    def __init__(self, broker_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        url = redis_url(broker_url)
        self._breaker = Breaker("limits", failures_max=FAILURES_MAX, clock=clock)
        self._local = _limiter_of(MemoryStore(options={"MAX_SIZE": LOCAL_BUCKETS_MAX}))
        self._shared = None if url is None else _limiter_of(_store(url))

    def take(self, key: str, rate: Rate) -> Standing:
        """Take a token from the bucket, if it has one. Never raises, never waits longer than the store may take."""
        local = _standing(self._local(rate).limit(key))
        if local.is_refused or self._shared is None or self._breaker.is_open:
            return local
        try:
            shared = _standing(self._shared(rate).limit(key))
        except StoreUnavailableError:
            self._breaker.failed()
            rate_limit_store_failures.inc()
            return local
        self._breaker.succeeded()
        return shared


def _limiter_of(store: BaseStore) -> Callable[[Rate], BaseRateLimiter]:
    """The limiter of each rate over one store. A policy that changes leaves old ones behind: so many at most."""

    @lru_cache(maxsize=RATES_MAX)
    def limiter(rate: Rate) -> BaseRateLimiter:
        return GCRARateLimiter(per_min(rate.per_minute, rate.burst), store, key_prefix=PREFIX)

    return limiter


def _store(url: str) -> RedisStore:
    """The shared store over a pool that is never waited for longer than the store itself."""
    pool = {
        "timeout": STORE_S_MAX,
        "max_connections": STORE_CONNECTIONS_MAX,
        "socket_timeout": STORE_S_MAX,
        "socket_connect_timeout": STORE_S_MAX,
        "retry": Retry(NoBackoff(), 0),
    }
    options = {
        "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
        "CONNECTION_POOL_KWARGS": pool,
        "REUSE_CONNECTION": False,
    }
    return RedisStore(server=url, options=options)


def _standing(result: RateLimitResult) -> Standing:
    state = result.state
    wait_s = max(state.retry_after, WAIT_S_MIN) if result.limited else 0.0
    return Standing(state.remaining, state.reset_after, wait_s)
