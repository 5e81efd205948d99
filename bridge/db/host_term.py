"""The hosts' terms and canaries, and which sessions each host holds, across workspaces.

A host's worker renews its term every two seconds. Another worker takes the term over when it is over, or at once on
the same machine: there a lock file has shown that the former holder is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import text

from bridge.core.policy import SLOTS_MAX
from bridge.db.keeper import HOST_TERM_S, Keeping
from bridge.db.uow import Database
from bridge.ports.hosts import HeldSession

SESSIONS_MAX = 1_000

_SEE = text("""
INSERT INTO hosts AS h (host, holder, seen_at, term, taken_at, version, presets)
VALUES (:host, :holder, bridge_now(), 1, bridge_now(), :version, CAST(:presets AS jsonb))
ON CONFLICT (host) DO UPDATE SET holder = excluded.holder, seen_at = excluded.seen_at, version = excluded.version,
    presets = excluded.presets, term = h.term + CASE WHEN h.holder = excluded.holder THEN 0 ELSE 1 END,
    taken_at = CASE WHEN h.holder = excluded.holder THEN h.taken_at ELSE excluded.taken_at END
WHERE h.holder IS NULL OR split_part(h.holder, '/', 1) = split_part(excluded.holder, '/', 1)
    OR h.seen_at IS NULL OR h.seen_at < excluded.seen_at - make_interval(secs => :term_s)
RETURNING term
""")
_SLOTS = text("""
INSERT INTO slots (host, n) SELECT :host, n FROM generate_series(1, :most) n ON CONFLICT DO NOTHING
""")
_HOLDER = text("""
SELECT holder, extract(epoch FROM bridge_now() - seen_at)::float8 AS age_s FROM hosts WHERE host = :host
""")
_ASK = text("""
UPDATE hosts SET canary_asked_at = bridge_now()
WHERE seen_at > bridge_now() - make_interval(secs => :term_s) AND host = coalesce(:host, host) RETURNING host
""")
_CLAIM = text("""
UPDATE hosts SET canary_claimed_at = bridge_now()
WHERE host = :host AND canary_asked_at > coalesce(canary_claimed_at, '-infinity')
RETURNING extract(epoch FROM canary_claimed_at - canary_asked_at)::float8
""")
_HELD = text("""
SELECT session_id, agent_id, term FROM sessions WHERE host = :host AND attached ORDER BY session_id LIMIT :most
""")
_LEFT = text("""
SELECT s.session_id, s.agent_id, s.term FROM sessions s LEFT JOIN hosts h ON h.host = s.host
WHERE s.attached AND (h.seen_at IS NULL OR h.seen_at < bridge_now() - make_interval(secs => :term_s))
ORDER BY s.session_id LIMIT :most
""")


class HostTerms:
    """The hosts as the database knows them."""

    def __init__(self, db: Database, keeping: Keeping) -> None:
        self._db, self._keeping = db, keeping

    def see(
        self,
        host: str,
        holder: str,
        version: str | None = None,
        presets: Mapping[str, Sequence[str]] | None = None,
    ) -> int | None:
        """Renew the term, `machine/incarnation`; its number, None when another machine holds it."""
        params = {
            "host": host,
            "holder": holder,
            "version": version,
            "presets": json.dumps({name: list(rungs) for name, rungs in (presets or {}).items()}),
            "term_s": HOST_TERM_S,
        }
        with self._db.plain() as connection:
            term: int | None = connection.execute(_SEE, params).scalar_one_or_none()
        return term

    def open_slots(self, host: str) -> None:
        """Give the host the rows of its slots; how many of them are used is the policy's."""
        with self._db.plain() as connection:
            connection.execute(_SLOTS, {"host": host, "most": SLOTS_MAX})

    def holder(self, host: str) -> tuple[str, float] | None:
        """Who holds the host's name, and how many seconds ago it was seen."""
        with self._db.plain() as connection:
            row = connection.execute(_HOLDER, {"host": host}).mappings().one_or_none()
        return None if row is None or row["age_s"] is None else (str(row["holder"]), float(row["age_s"]))

    def ask_canaries(self, host: str | None = None) -> list[str]:
        """Ask each host that is seen, or this one, for a sign of its worker; their names."""
        with self._db.plain() as connection:
            asked = connection.execute(_ASK, {"term_s": HOST_TERM_S, "host": host})
            return [str(name) for name in asked.scalars()]

    def claim_canary(self, host: str) -> float | None:
        """Give the sign; how long it took, None when nobody asked since."""
        with self._db.plain() as connection:
            took_s = connection.execute(_CLAIM, {"host": host}).scalar_one_or_none()
        return None if took_s is None else float(took_s)

    def sessions_of(self, host: str) -> list[HeldSession]:
        """The sessions that the host holds, in every workspace."""
        return self._across(lambda workspace_id: self._held(workspace_id, host))

    def sessions_left(self) -> list[HeldSession]:
        """The sessions held by hosts whose term is over."""
        return self._across(self._left)

    def _held(self, workspace_id: str, host: str) -> list[HeldSession]:
        with self._db.unit(workspace_id) as uow:
            rows = uow.run(_HELD, {"host": host, "most": SESSIONS_MAX}).mappings()
            return [HeldSession(workspace_id=workspace_id, **row) for row in rows]

    def _left(self, workspace_id: str) -> list[HeldSession]:
        with self._db.unit(workspace_id) as uow:
            rows = uow.run(_LEFT, {"term_s": HOST_TERM_S, "most": SESSIONS_MAX}).mappings()
            return [HeldSession(workspace_id=workspace_id, **row) for row in rows]

    def _across(self, ask: Callable[[str], list[HeldSession]]) -> list[HeldSession]:
        return [held for workspace_id in self._keeping.workspaces() for held in ask(workspace_id)]
