"""News for whoever waits: pub/sub after a commit, so that a waiting call answers at once.

Rules of this file:

- News says that there is something to read, never what. Losing it costs a second, since every waiter reads the
  database before it waits, and reads it every second while the broker does not answer.
- One subscriber a process, and one publisher with a bounded queue; nobody who tells or waits ever touches a socket.
- A turn of a waiter lasts half a second at most: between turns its call asks whether its token still holds.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto

import redis
import structlog
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

log = structlog.get_logger(__name__)

CHANNEL = "wakebridge:news"
SOCKET_TIMEOUT_S = 0.3
TURN_S = 1.0
WAIT_S_MAX = 0.5
SILENCE_S_MAX = 2.5
REREAD_S = 10.0
TOLD_MAX = 10_000
MESSAGE_BYTES_MAX = 64 * 1024

Topic = tuple[str, str]
"""A workspace, and a thread or an agent in it."""


class Turn(Enum):
    """What a waiter's turn ended with."""

    QUIET = auto()  # nothing: ask whether the caller may still wait
    LOOK = auto()  # read the database again
    OVER = auto()  # the time is up, or the process stops


class Waiter:
    """One waiting call; made by `Listeners.wait`."""

    def __init__(self, listeners: Listeners, wait_s: float, clock: Callable[[], float]) -> None:
        self._listeners, self._clock = listeners, clock
        self._rung = threading.Event()
        self._ends_at = clock() + wait_s
        self._look_at = clock() + REREAD_S

    def ring(self) -> None:
        """There is news."""
        self._rung.set()

    def turn(self) -> Turn:
        """Wait for news, for a second at most."""
        now = self._clock()
        if self._listeners.is_closing() or now >= self._ends_at:
            return Turn.OVER
        if self._rung.wait(min(WAIT_S_MAX, self._ends_at - now)):
            self._rung.clear()
            return Turn.OVER if self._listeners.is_closing() else Turn.LOOK
        now = self._clock()
        if now >= self._look_at or not self._listeners.healthy:
            self._look_at = now + REREAD_S
            return Turn.LOOK
        return Turn.QUIET


class Listeners:
    """Who waits in this process, and the way for news from and to the others."""

    def __init__(self, broker_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = redis_url(broker_url), clock
        self._lock = threading.Lock()
        self._waiting: dict[Topic, set[Waiter]] = {}
        self._told: deque[str] = deque(maxlen=TOLD_MAX)
        self._to_tell = threading.Event()
        self._heard_at = float("-inf")
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def is_closing(self) -> bool:
        """Whether the process stops."""
        return self._closing.is_set()

    @property
    def healthy(self) -> bool:
        """Whether the broker answered within the last seconds."""
        return self._clock() - self._heard_at < SILENCE_S_MAX

    def start(self) -> None:
        """Subscribe, and begin to publish; more than one call changes nothing. To be called after a fork."""
        with self._lock:
            if self._threads or self._url is None or self.is_closing():
                return
            for work in (self._listen, self._publish):
                thread = threading.Thread(target=work, name=f"news{work.__name__}", daemon=True)
                self._threads.append(thread)
                thread.start()

    @contextmanager
    def wait(self, topics: Sequence[Topic], wait_s: float) -> Iterator[Waiter]:
        """A waiter that hears of these topics from now on: read after this, then take turns."""
        self.start()
        waiter = Waiter(self, wait_s, self._clock)
        with self._lock:
            for topic in topics:
                self._waiting.setdefault(topic, set()).add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                for topic in topics:
                    self._waiting[topic].discard(waiter)
                    if not self._waiting[topic]:
                        del self._waiting[topic]

    def tell(self, topics: Iterable[Topic]) -> None:
        """There is news in these topics: here at once, elsewhere through the broker. Never waits, never raises."""
        listed = list(topics)
        self._ring(listed)
        self.start()
        self._told.append(json.dumps(listed))
        self._to_tell.set()

    def close(self) -> None:
        """End all waits now; no new one begins."""
        self._closing.set()
        self._to_tell.set()
        self._ring_all()

    def _ring(self, topics: Iterable[Topic]) -> None:
        with self._lock:
            found = {waiter for topic in topics for waiter in self._waiting.get(topic, ())}
        for waiter in found:
            waiter.ring()

    def _ring_all(self) -> None:
        with self._lock:
            found = {waiter for waiters in self._waiting.values() for waiter in waiters}
        for waiter in found:
            waiter.ring()

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self._url or "",
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    def _listen(self) -> None:
        while not self.is_closing():
            with suppress(redis.RedisError, OSError), self._client() as client, client.pubsub() as pubsub:
                pubsub.subscribe(CHANNEL)
                self._hear(pubsub)
            self._to_tell.wait(TURN_S)

    def _hear(self, pubsub: PubSub) -> None:
        pinged_at = self._clock()
        pubsub.ping()
        while not self.is_closing() and self._clock() - max(self._heard_at, pinged_at) < SILENCE_S_MAX:
            message = pubsub.get_message(timeout=TURN_S)
            now = self._clock()
            if message is not None:
                if message["type"] == "subscribe":
                    self._ring_all()  # what was said while we were away is lost: everybody reads
                self._heard_at = now
                self._ring(_topics(message))
            if now - pinged_at >= TURN_S and pinged_at <= self._heard_at:
                pubsub.ping()
                pinged_at = now

    def _publish(self) -> None:
        with self._client() as client:
            while not self.is_closing():
                self._to_tell.wait()
                self._to_tell.clear()
                while self._told:
                    text = self._told.popleft()
                    try:
                        client.publish(CHANNEL, text)
                    except (redis.RedisError, OSError):
                        self._told.clear()  # the others poll while the broker is away


def _topics(message: dict[str, object]) -> list[Topic]:
    """The topics of a message; of one that is not ours, none."""
    data = message.get("data")
    if message.get("type") != "message" or not isinstance(data, bytes) or len(data) > MESSAGE_BYTES_MAX:
        return []
    with suppress(ValueError, TypeError):
        return [(str(workspace), str(name)) for workspace, name in json.loads(data)]
    return []


def redis_url(broker_url: str) -> str | None:
    """The broker's address as redis-py takes it; None for a broker that is none (then waiters poll)."""
    if broker_url.startswith("redis+socket://"):
        return "unix://" + broker_url.removeprefix("redis+socket://")
    return broker_url if broker_url.startswith(("redis://", "rediss://")) else None
