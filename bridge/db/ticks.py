"""The ticks' rows: which tick ran when, so that many who are told to look do not all look.

The term saves work and guards nothing: everything that a tick does is itself guarded.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from bridge.db.uow import Database

# Less than the period: a ring that comes a little early must not skip a turn.
_OF_PERIOD = 0.8

_KNOW = text("INSERT INTO ticks (name, next_at) VALUES (:name, bridge_now()) ON CONFLICT (name) DO NOTHING")
_TAKE = text("""
UPDATE ticks SET next_at = bridge_now() + make_interval(secs => :next_s), holder = :holder,
    until = bridge_now() + make_interval(secs => :term_s)
WHERE name = :name AND next_at <= bridge_now() AND (until IS NULL OR until < bridge_now())
""")
_GIVE_BACK = text("UPDATE ticks SET until = NULL WHERE name = :name AND holder = :holder")

_PAST = text("""
SELECT name, extract(epoch FROM bridge_now() - next_at)::float8 AS past_s FROM ticks ORDER BY name LIMIT 100
""")


class Ticks:
    """Who runs which tick."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def take(self, name: str, period_s: float, holder: str, *, term_s: float = 30.0) -> bool:
        """True: run it now. False: it is not its time, or somebody else runs it."""
        params = {"name": name, "next_s": period_s * _OF_PERIOD, "holder": holder, "term_s": term_s}
        with self._db.plain() as connection:
            connection.execute(_KNOW, {"name": name})
            return bool(connection.execute(_TAKE, params).rowcount)

    def ages_s(self, periods_s: Mapping[str, float]) -> dict[str, float]:
        """Since when each tick was last taken."""
        with self._db.plain() as connection:
            past = {str(row.name): float(row.past_s) for row in connection.execute(_PAST)}
        return {name: past[name] + _OF_PERIOD * s for name, s in periods_s.items() if name in past}

    def give_back(self, name: str, holder: str) -> None:
        """It ran, or failed: the next may be taken when it is its time."""
        with self._db.plain() as connection:
            connection.execute(_GIVE_BACK, {"name": name, "holder": holder})
