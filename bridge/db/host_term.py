"""The hosts' terms and canaries, and which sessions each host holds, across workspaces.

A host's worker renews its term every two seconds. Another worker takes the term over when it is over, or at once on
the same machine: there a lock file has shown that the former holder is gone.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from bridge.db.keeper import HOST_TERM_S, Keeping
from bridge.db.uow import Database
from bridge.ports.hosts import HeldSession

SESSIONS_MAX = 1_000

_SEE = text("""
INSERT INTO hosts AS h (host, holder, seen_at) VALUES (:host, :holder, bridge_now())
ON CONFLICT (host) DO UPDATE SET holder = excluded.holder, seen_at = excluded.seen_at
WHERE h.holder IS NULL OR split_part(h.holder, '/', 1) = split_part(excluded.holder, '/', 1)
    OR h.seen_at IS NULL OR h.seen_at < excluded.seen_at - make_interval(secs => :term_s)
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

    def see(self, host: str, holder: str) -> bool:
        """Renew the term, `machine/incarnation`; False when another machine holds it."""
        with self._db.plain() as connection:
            done = connection.execute(_SEE, {"host": host, "holder": holder, "term_s": HOST_TERM_S})
            return bool(done.rowcount)

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
