"""Open runs as their hosts look after them, across workspaces: where each process is, and whether it is to end.

`db` acts as the keeper's role, which sees of a run where it is and never what it is for.
"""

from __future__ import annotations

from sqlalchemy import text

from bridge.db.keeper import HOST_TERM_S
from bridge.db.uow import Database
from bridge.ports.hosts import OpenRun, Waiter

RUNS_MAX = 500

_COLUMNS = "r.run_id, r.workspace_id, r.host, r.worker, r.boot_id, r.shim_pid, r.pid, r.pid_started"
_OF = text(f"""
SELECT {_COLUMNS}, r.end_asked_at IS NOT NULL AS end_asked, coalesce(r.why, '') AS why FROM runs r
WHERE r.state <> 'ended' AND r.host = :host ORDER BY r.begun_at LIMIT :most
""")  # noqa: S608  columns of ours
_LEFT = text(f"""
SELECT {_COLUMNS}, r.end_asked_at IS NOT NULL AS end_asked, coalesce(r.why, '') AS why
FROM runs r LEFT JOIN hosts h ON h.host = r.host
WHERE r.state <> 'ended' AND (h.seen_at IS NULL OR h.seen_at < bridge_now() - make_interval(secs => :term_s))
ORDER BY r.begun_at LIMIT :most
""")  # noqa: S608  columns of ours
_WAITERS = text("""
SELECT w.workspace_id, w.wake_id FROM wakes w
WHERE w.state = 'pending' AND w.reason = 'slot' AND w.host = :host AND NOT EXISTS (
    SELECT FROM runs r WHERE r.workspace_id = w.workspace_id AND r.agent_id = w.agent_id AND r.state <> 'ended')
ORDER BY w.since LIMIT :most
""")


class RunWatch:
    """The open runs, as a host or a tick asks for them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of_host(self, host: str) -> list[OpenRun]:
        """All open runs of the host."""
        with self._db.plain() as connection:
            rows = connection.execute(_OF, {"host": host, "most": RUNS_MAX}).mappings()
            return [OpenRun(**row) for row in rows]

    def left(self) -> list[OpenRun]:
        """Open runs of hosts whose term is over: they ended themselves before it was."""
        with self._db.plain() as connection:
            rows = connection.execute(_LEFT, {"term_s": HOST_TERM_S, "most": RUNS_MAX}).mappings()
            return [OpenRun(**row) for row in rows]

    def waiters(self, host: str, most: int) -> list[Waiter]:
        """Wakes that have waited longest for a slot of the host, whichever their workspace."""
        with self._db.plain() as connection:
            rows = connection.execute(_WAITERS, {"host": host, "most": most}).mappings()
            return [Waiter(**row) for row in rows]
