"""What publishers and workers must agree on about the broker: queues, their kinds, the wire's options.

Rules of this file:

- Queues are bound to no exchange: a message goes to its queue by name, so an emptied broker needs nobody to
  declare anything again.
- Every socket has a timeout; whoever publishes has the short one.
- A broker that may throw messages away under pressure is refused (`noeviction`, or nothing starts).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis
from kombu.entity import Exchange, Queue
from redis.backoff import NoBackoff
from redis.retry import Retry

from bridge.config import Settings
from bridge.core.errors import OurError
from bridge.ports.tasks import FIXED_QUEUES, TIMERS, host_queue

PUBLISH_TIMEOUT_S = 0.15
CHECK_TIMEOUT_S = 2.0
KEY_PREFIX = "wakebridge:"


class BrokerRefused(OurError):
    """The broker would throw messages away: set `maxmemory-policy noeviction`."""

    code = "BROKER_REFUSED"


def is_redis(url: str) -> bool:
    """Redis or Valkey, not RabbitMQ."""
    return url.startswith(("redis", "rediss"))


def broker_queues(settings: Settings, hosts: Iterable[str] = ()) -> list[Queue]:
    """The fixed queues, this host's, and those of `hosts`: no other can be published to or consumed from."""
    names = dict.fromkeys([*FIXED_QUEUES, host_queue(settings.host_name), *map(host_queue, hosts)])
    return [broker_queue(name, quorum=not is_redis(settings.broker_url_in_force)) for name in names]


def broker_queue(name: str, *, quorum: bool) -> Queue:
    """One queue; on RabbitMQ a quorum queue."""
    arguments = {"x-queue-type": "quorum"} if quorum else None
    nowhere = Exchange("", type="direct")  # type: ignore[no-untyped-call]
    return Queue(name, nowhere, routing_key=name, queue_arguments=arguments)  # type: ignore[no-untyped-call]


def common_options(settings: Settings) -> dict[str, Any]:
    """Celery's options that a publisher and a worker share."""
    return {
        "broker_url": settings.broker_url_in_force,
        "task_queues": broker_queues(settings),
        "task_default_queue": TIMERS,
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "task_publish_retry": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def transport_options(settings: Settings, timeout_s: float) -> dict[str, Any]:
    """The wire's options, none of them infinite. `max_retries` 0: a publish fails once, at its timeout."""
    no_retries = {"max_retries": 0, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
    if not is_redis(settings.broker_url_in_force):
        timeouts = {"read_timeout": timeout_s, "write_timeout": timeout_s}
        return no_retries | timeouts | {"confirm_publish": True}
    return no_retries | {
        "visibility_timeout": 60,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 10,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(1.0, timeout_s),
        "socket_keepalive": settings.broker_url_in_force.startswith("redis://")
        or settings.broker_url_in_force.startswith("rediss://"),
        "health_check_interval": 5,
        "retry_on_timeout": False,
        "global_keyprefix": KEY_PREFIX,
    }


def check_broker(settings: Settings) -> bool:
    """True: the broker keeps what it takes. False: it does not answer now. Raises BrokerRefused."""
    url = settings.broker_url_in_force
    if not is_redis(url):
        return True
    plain = url.replace("redis+socket://", "unix://", 1)
    wire = redis.Redis.from_url(
        plain,
        socket_timeout=CHECK_TIMEOUT_S,
        socket_connect_timeout=CHECK_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        # INFO, not CONFIG: hosted brokers forbid the latter.
        policy = wire.info("memory").get("maxmemory_policy")
    except redis.RedisError:
        return False
    finally:
        wire.close()
    if policy != "noeviction":
        raise BrokerRefused(policy=policy)
    return True
