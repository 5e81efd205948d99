"""The doorbell over Celery: rings by name, out of every caller's way.

Rules of this file:

- `ring()` puts ids into a bounded queue and returns. Overflow is dropped and counted: the keeper rings those.
- One thread a process publishes: one connection, batched per queue, 150 ms a try, behind a breaker.
- What the broker confirmed is noted on the rows (they are validly rung), what failed too (they are not). A
  note that is lost costs one more ring.
- An unknown queue is refused and counted. `host.<name>` is known once its host is in the hosts' table.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog
from celery import Celery

from bridge.adapters.breaker import Breaker
from bridge.adapters.celery_options import (
    PUBLISH_TIMEOUT_S,
    broker_queue,
    common_options,
    is_redis,
    transport_options,
)
from bridge.adapters.metrics import commit_to_ring, doorbells, publish_failures
from bridge.config import Settings
from bridge.core.errors import BridgeError, OurError
from bridge.ports.gateway import Ring
from bridge.ports.tasks import TaskName, host_queue

log = structlog.get_logger(__name__)

QUEUED_MAX = 10_000
BATCH_MAX = 500
HOSTS_AGE_S = 2.0
RING_LIFE_S = 60
"""A ring older than this says nothing that the keeper has not said again since."""


class PublishFailed(OurError):
    """The broker did not confirm: the rings may or may not have gone out."""

    code = "PUBLISH_FAILED"


class RungRows(Protocol):
    """Where it is noted how rings went."""

    def confirm(self, wake_ids: Sequence[str]) -> None:
        """The broker has these."""
        ...

    def clear(self, wake_ids: Sequence[str]) -> None:
        """The broker has not these."""
        ...


class Publisher:
    """A connection to the broker, for one thread: publishes, or raises within its timeouts."""

    def __init__(
        self,
        settings: Settings,
        host_names: Callable[[], Iterable[str]],
        *,
        timeout_s: float = PUBLISH_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host_names, self._clock = host_names, clock
        self._hosts_asked_at = float("-inf")
        self._redis = is_redis(settings.broker_url_in_force)
        self._app = Celery("wakebridge-publisher", set_as_current=False, fixups=[])
        self._app.conf.update(common_options(settings))
        self._app.conf.update(
            broker_transport_options=transport_options(settings, timeout_s),
            broker_connection_timeout=max(timeout_s, 0.5),
        )
        self._producer: Any = None

    def knows(self, queue: str) -> bool:
        """Whether this queue exists; hosts that came since the last look are found."""
        if queue in self._app.amqp.queues:
            return True
        if self._clock() - self._hosts_asked_at >= HOSTS_AGE_S:
            self._hosts_asked_at = self._clock()
            for name in self._host_names():
                if host_queue(name) not in self._app.amqp.queues:
                    self._app.amqp.queues.add(broker_queue(host_queue(name), quorum=not self._redis))
        return queue in self._app.amqp.queues

    def probe(self) -> None:
        """Find out whether the broker answers. Raises PublishFailed."""
        try:
            producer = self._producer or self._connect()
            if self._redis:
                producer.channel.client.ping()
            else:
                producer.connection.ensure_connection(max_retries=1)
        except Exception as error:
            self.close()
            raise PublishFailed(str(error)) from error

    def publish(self, rings: Sequence[Ring]) -> None:
        """Send them all, in one round trip. Raises PublishFailed; then it is not known which arrived."""
        calls = [(ring.task, [ring.workspace_id, ring.row_id], ring.queue, RING_LIFE_S) for ring in rings]
        self._send(calls)

    def publish_tick(self, task: TaskName, queue: str, life_s: float) -> None:
        """Send one tick, which says nothing any more after `life_s`. Raises PublishFailed."""
        self._send([(task, [], queue, life_s)])

    def _send(self, calls: Sequence[tuple[TaskName, list[str], str, float]]) -> None:
        try:
            producer = self._producer or self._connect()
            with producer.batch(max_size=BATCH_MAX):
                for task, args, queue, life_s in calls:
                    self._app.send_task(
                        task.value,
                        args,
                        queue=queue,
                        producer=producer,
                        expires=life_s,
                        retry=False,
                        declare=() if self._redis else None,
                        # Monotonic clocks agree on one machine; whoever reads it drops what cannot be.
                        headers={"rung_at": self._clock()},
                    )
        except BridgeError:
            raise
        except Exception as error:  # whatever kombu and its drivers raise: an unknown end is a failure
            self.close()
            raise PublishFailed(str(error)) from error

    def _connect(self) -> Any:  # noqa: ANN401  kombu has no types
        connection = self._app.connection_for_write()
        try:
            self._producer = self._app.amqp.Producer(connection, auto_declare=False)
        except BaseException:
            connection.release()
            raise
        return self._producer

    def close(self) -> None:
        """Let the connection go; the next publish makes another."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with suppress(Exception):  # a broken connection may fail to close
            producer.connection.release()


class CeleryGateway:
    """The TaskGateway of every process: `ring` puts down, one thread sends."""

    def __init__(
        self,
        publisher: Publisher,
        rows: RungRows,
        *,
        source: str = "post",
        clock: Callable[[], float] = time.monotonic,
        queued_max: int = QUEUED_MAX,
    ) -> None:
        self._publisher, self._rows, self._source, self._clock = publisher, rows, source, clock
        self._breaker = Breaker(f"broker-{source}", clock=clock)
        self._queued: deque[tuple[float, Ring]] = deque()
        self._queued_max = queued_max
        self._more = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._busy = False

    def ring(self, rings: Sequence[Ring]) -> None:
        """Take these rings; never waits for the broker or the database, never raises."""
        at = self._clock()
        with self._more:
            room = self._queued_max - len(self._queued)
            self._queued.extend((at, ring) for ring in rings[: max(0, room)])
            if len(rings) > room:
                publish_failures.labels("overflow").inc(len(rings) - max(0, room))
            if self._thread is None and not self._closing:
                # Not in __init__: a process may fork between being built and its first ring.
                self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._thread.start()
            self._more.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that was put down is dealt with; False when it took longer."""
        with self._more:
            return self._more.wait_for(lambda: not self._queued and not self._busy, timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what is left, if that works quickly, and end the thread."""
        with self._more:
            self._closing = True
            self._more.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._deal(batch)
            except Exception:
                # The one thread that rings must outlive whatever is wrong; the keeper has the rows.
                log.exception("doorbell.failed", rings=len(batch))
                publish_failures.labels("internal").inc(len(batch))
            finally:
                with self._more:
                    self._busy = False
                    self._more.notify_all()
        self._publisher.close()

    def _next(self) -> list[tuple[float, Ring]] | None:
        with self._more:
            self._more.wait_for(lambda: self._queued or self._closing)
            if not self._queued:
                return None
            self._busy = True
            return [self._queued.popleft() for _ in range(min(BATCH_MAX, len(self._queued)))]

    def _deal(self, batch: Sequence[tuple[float, Ring]]) -> None:
        known = [(at, ring) for at, ring in batch if self._publisher.knows(ring.queue)]
        if len(known) < len(batch):
            publish_failures.labels("unknown_queue").inc(len(batch) - len(known))
            log.warning("doorbell.unknown_queue", queues=sorted({ring.queue for _, ring in batch})[:10])
        if not known:
            return
        rings = [ring for _, ring in known]
        if self._breaker.is_open:
            publish_failures.labels("breaker_open").inc(len(rings))
            self._note(self._rows.clear, rings)
            return
        try:
            self._publisher.publish(rings)
        except PublishFailed as failure:
            self._breaker.failed()
            publish_failures.labels("broker").inc(len(rings))
            log.warning("doorbell.not_sent", rings=len(rings), why=failure.detail[:200])
            self._note(self._rows.clear, rings)
            return
        self._breaker.succeeded()
        doorbells.labels(self._source).inc(len(rings))
        now = self._clock()
        for at, _ in known:
            commit_to_ring.observe(now - at)
        self._note(self._rows.confirm, rings)

    def _note(self, note: Callable[[Sequence[str]], None], rings: Sequence[Ring]) -> None:
        wakes = [ring.row_id for ring in rings if ring.task.value.startswith("wake.")]
        if not wakes:
            return
        try:
            note(wakes)
        except OurError as error:  # a note that is lost costs one more ring
            log.info("doorbell.not_noted", rings=len(wakes), why=error.detail)
