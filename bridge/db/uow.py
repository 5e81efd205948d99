"""The unit of work: one transaction in one workspace. Nobody else commits.

A connection acts as the role `wakebridge_app`, which row-level security binds to the workspace of the transaction.
Time comes from `bridge_now()`, read in the statement after the lock. What is to be rung is collected and rung after
the commit: losing a ring costs time, never work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, CursorResult, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.core.audit import AuditEvent, chain_hash
from bridge.core.caller import Caller
from bridge.core.errors import Conflict, InvalidArgument, Unavailable
from bridge.db.audit import audit_events
from bridge.ports.figures import Noted
from bridge.ports.gateway import Ring

ACT_AS = {"app": "wakebridge_app", "keeper": "wakebridge_keeper", "archivist": "wakebridge_archivist"}
UNIQUE_VIOLATION = "23505"
LOCK_NOT_AVAILABLE, DEADLOCK, QUERY_CANCELED, SERIALIZATION = "55P03", "40P01", "57014", "40001"
UNSTORABLE = frozenset({"22P05", "22P02", "22021"})


@dataclass
class UnitOfWork:
    """One transaction. `caller` is who is audited; `actor` names the bridge's own hands when there is no caller."""

    connection: Connection
    workspace_id: str
    caller: Caller | None = None
    actor: str = "bridge"
    rings: list[Ring] = field(default_factory=list)
    roused: set[str] = field(
        default_factory=set
    )  # agents whose session became free: looked at after the commit
    noted: list[Noted] = field(default_factory=list)

    def run(self, statement: Any, params: Mapping[str, Any] | None = None) -> CursorResult[Any]:  # noqa: ANN401
        """Execute one statement of this transaction."""
        return self.connection.execute(statement, params or {})

    def now(self, *not_before: datetime | None) -> datetime:
        """The database's clock, read after the lock, never earlier than what the locked rows have seen."""
        stamp: datetime = self.connection.execute(_NOW).scalar_one()
        return max([stamp, *(moment for moment in not_before if moment is not None)])

    def audit(self, said: AuditEvent, *, n: int, head: bytes | None, at: datetime) -> tuple[int, bytes]:
        """Append to the chain of a locked row; gives its new head, which the caller stores on that row."""
        digest = chain_hash(head, n + 1, self.workspace_id, said, at)
        self.connection.execute(
            audit_events.insert(),
            {
                "workspace_id": self.workspace_id,
                "resource_type": said.resource_type,
                "resource_id": said.resource_id,
                "n": n + 1,
                "event": said.event,
                "actor": said.actor,
                "request_id": said.request_id,
                "trace_id": said.trace_id,
                "before": dict(said.before),
                "after": dict(said.after),
                "at": at,
                "prev": head,
                "hash": digest,
            },
        )
        return n + 1, digest

    def said(
        self, resource: str, row_id: str, what: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> AuditEvent:
        """An audit event by whoever this unit works for."""
        caller = self.caller
        return AuditEvent(
            resource_type=resource,
            resource_id=row_id,
            event=what,
            actor=caller.agent_id if caller else self.actor,
            before=before,
            after=after,
            request_id=caller.request_id if caller else None,
            trace_id=caller.traceparent if caller else None,
        )


_NOW = text("SELECT bridge_now()")
_OPEN = text("SELECT set_config('app.workspace', :workspace, true)")


ON_A_CUT_NETWORK = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
"""Over TCP a peer that is cut off sends nothing, not even an end: whoever waits for it gives up in seconds."""


AT_THE_SERVER = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "user_timeout": 8000,
}
"""The same for the server's end: the connections of a host that was cut off are not kept for hours."""
SILENT_S_MAX = 10.0
"""Who says nothing for so long in the middle of a transaction has died, was stopped or was cut off: its locks are given
to others, long before the term of its host is over and its runs are called ended."""


class AlreadyThere(Conflict):
    """A unique index says that somebody else was first."""


class Database:
    """The pool of one process. Every wait has a bound: for a connection, a lock, a statement."""

    def __init__(
        self,
        url: str,
        *,
        role: Literal["app", "keeper", "archivist"] = "app",
        pool_size: int = 8,
        pool_wait_s: float = 3.0,
        statement_timeout_s: float = 10.0,
        lock_timeout_s: float = 1.0,
    ) -> None:
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_wait_s,
            pool_pre_ping=True,
            enable_from_linting=False,
            connect_args={"connect_timeout": 3, "application_name": f"wakebridge-{role}"} | ON_A_CUT_NETWORK,
        )
        setup = (
            f"SET ROLE {ACT_AS[role]}; SET statement_timeout = {int(statement_timeout_s * 1000)}; "
            f"SET lock_timeout = {int(lock_timeout_s * 1000)}; SET plan_cache_mode = force_generic_plan; "
            f"SET timezone = 'UTC'; SET idle_in_transaction_session_timeout = {int(SILENT_S_MAX * 1000)}; "
            + "; ".join(f"SET tcp_{name} = {value}" for name, value in AT_THE_SERVER.items())
        )
        event.listen(self.engine, "connect", _prepare(setup))
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def unit(
        self, workspace_id: str, caller: Caller | None = None, actor: str = "bridge"
    ) -> Iterator[UnitOfWork]:
        """One transaction: committed on a clean exit, rolled back on any error. Raises Unavailable and Conflict."""
        with translated(), self.engine.begin() as connection:
            connection.execute(_OPEN, {"workspace": workspace_id})
            yield UnitOfWork(connection, workspace_id, caller, actor)

    @contextmanager
    def plain(self) -> Iterator[Connection]:
        """A transaction without a workspace: hosts, ticks, and what the keeper's role may see."""
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        """Statements that are a transaction each: no round trips for BEGIN and COMMIT."""
        with translated(), self._autocommit.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Driver errors in the bridge's words; never the driver's text, which holds parameters."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("the database is busy: no connection was free in time") from error
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) == UNIQUE_VIOLATION:
            raise AlreadyThere from error
        raise
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in (LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION):
            raise Conflict("somebody else is changing the same thing: try again", sqlstate=state) from error
        if state in UNSTORABLE:
            raise InvalidArgument(
                "a text has a character that cannot be stored (NUL, or half a pair)"
            ) from error
        if state == QUERY_CANCELED or isinstance(error, OperationalError):
            raise Unavailable("the database did not answer in time", sqlstate=state) from error
        raise


def _prepare(setup: str) -> Any:  # noqa: ANN401  the event's own signature
    def on_connect(connection: Any, record: object) -> None:  # noqa: ANN401
        del record
        connection.prepare_threshold = 0
        before = connection.autocommit
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in setup.split("; "):
                cursor.execute(statement)
        connection.autocommit = before

    return on_connect
