"""What makes workers look: the doorbell, two keepers, the standby. All of them fail."""

from __future__ import annotations

from bridge.core.states import WAKE_FINAL
from bridge.simulation.engine import SECOND, Steps, us_of
from bridge.simulation.hosts import Worker
from bridge.simulation.site import Site
from bridge.simulation.store import Store, WakeRow

LOOK_AHEAD_S = 1.2
HELD_S, CONFIRMED_S = 1, 5
TIMERS = "timers"


class Doorbell:
    """The broker between whoever rings and the workers: loses, doubles, delays."""

    def __init__(self, site: Site, workers: dict[str, Worker]) -> None:
        self._site, self._workers = site, workers

    def ring(self, rings: list[tuple[str, str]]) -> None:
        """After a commit: sent and confirmed; or not sent, and the row says so; or nobody is left to."""
        for wake_id, host in rings:
            if self._site.rng.chance(self._site.trouble.lose_ring / 2):
                self._site.watch.lost_rings[wake_id] += 1
                self._site.watch.counts["rings never sent"] += 1
            else:
                self.publish(wake_id, host)

    def publish(self, wake_id: str, host: str) -> None:
        """One ring."""
        trouble, rng = self._site.trouble, self._site.rng
        sent = trouble.broker_up
        self._mark(wake_id, sent=sent)
        if not sent:
            return
        if rng.chance(trouble.lose_ring):
            self._site.watch.lost_rings[wake_id] += 1
            self._site.watch.counts["rings lost"] += 1
            return
        late_s = rng.choice((1.0, 3.0)) if rng.chance(trouble.delay_ring) else rng.choice((0.002, 0.03))
        if rng.chance(trouble.delay_ring):
            self._site.watch.lost_rings[wake_id] += 1
        self._site.engine.after(late_s, self._deliver, (wake_id, host))
        if rng.chance(trouble.double_ring):
            self._site.watch.counts["rings doubled"] += 1
            self._site.engine.after(rng.choice((0.0, 0.05, 2.0)), self._deliver, (wake_id, host))

    def publish_due(self, wake_id: str) -> None:
        """A keeper's: to the wake's host if that is seen, else to those who need none."""
        host = self._site.store.rows["wake", wake_id].host
        self.publish(wake_id, TIMERS if self._site.shell.not_seen(host) else host)

    def deliver(self, wake_id: str, host: str | None = None) -> None:
        """One that nobody asked for, or that went astray."""
        self._deliver((wake_id, host or self._site.store.rows["wake", wake_id].host))

    def _deliver(self, ring: tuple[str, str]) -> None:
        """One that is down takes the ring with it."""
        wake_id, host = ring
        worker = self._workers[host]
        if not worker.alive:
            self._site.watch.lost_rings[wake_id] += 1
        worker.take(wake_id)

    def _mark(self, wake_id: str, *, sent: bool) -> None:
        """`rung_until`, as publisher and keeper set it: only of what is due, and not of what a hand holds."""
        store = self._site.store
        if not store.is_up:
            return
        row: WakeRow = store.get("wake", wake_id)
        held = store.is_locked("wake", row.wake.thread_id, row.wake.agent_id)
        if row.wake.state in WAKE_FINAL or held or row.wake.due_at > self._site.engine.now:
            return
        until = max(us_of(row.wake.due_at), self._site.engine.us) + CONFIRMED_S * SECOND
        store.rows["rung", wake_id] = until if sent else None


class Keeper:
    """Takes rows ahead of their time and rings each at it."""

    def __init__(self, site: Site, bell: Doorbell) -> None:
        self._site, self._bell = site, bell
        self.alive = True

    def keep(self) -> Steps[None]:
        """Once a second."""
        site = self._site
        while True:
            yield 1.0
            if not (self.alive and site.trouble.broker_up and site.store.is_up):
                continue
            horizon = site.engine.us + int(LOOK_AHEAD_S * SECOND)
            for wake_id, due in not_rung(site.store, horizon):
                site.store.rows["rung", wake_id] = max(due, site.engine.us) + HELD_S * SECOND
                site.engine.after(max(0, due - site.engine.us) / SECOND, self._ring, wake_id)

    def sleep(self, seconds: float) -> None:
        """Dead for so long."""
        self.alive = False
        self._site.engine.after(seconds, self._rise)

    def _rise(self, _: object) -> None:
        self.alive = True

    def _ring(self, wake_id: str) -> None:
        if self.alive:
            self._bell.publish_due(wake_id)


def standby(site: Site, worker: Worker) -> Steps[None]:
    """Carry out what is due for more than a second and was rung by nobody: of this host, or of hosts not seen."""
    while True:
        yield 0.5
        if not worker.alive or worker.frozen or not site.store.is_up or worker.name in site.store.cut_off:
            continue
        for wake_id, _ in not_rung(site.store, site.engine.us - SECOND):
            host = site.store.rows["wake", wake_id].host
            if host != worker.host and not (worker.host is None and site.shell.not_seen(host)):
                continue
            site.store.rows["rung", wake_id] = site.engine.us + CONFIRMED_S * SECOND
            site.watch.counts["carried out by the standby"] += 1
            worker.take(wake_id)


def not_rung(store: Store, before_us: int) -> list[tuple[str, int]]:
    """Open wakes due by then that no valid ring was sent for; locked rows are skipped, as in a batch."""
    found: list[tuple[str, int]] = []
    rows, now = store.rows, store.engine.us
    for pair, wake_id in store.open_wakes():
        rung = rows.get(("rung", wake_id))
        if rung is not None and rung >= now:
            continue
        due = us_of(rows["wake", wake_id].wake.due_at)
        if due <= before_us and not store.is_locked("wake", *pair):
            found.append((wake_id, due))
    return found
