"""What a test of the shell works with: ids in order, a doorbell that remembers, a clock that is set, life stages.

Rules of this file:

- Nothing here stands in for the database: rows are made by the same commands, or written as the owner.
- `World` names life stages: a thread, an agent that is live, a wake that is pending, claimed, touching, waiting.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.commands.advance_wake import Advanced, advance_wake
from bridge.commands.attach_session import attach_session
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.move_run import move_run
from bridge.commands.post_message import Draft, Posted, post_message
from bridge.commands.settle_wake import settle_wake
from bridge.commands.touch_wake import Begun, touch_wake
from bridge.core.caller import Caller
from bridge.core.policy import Policy, RungLimits
from bridge.core.run import Event as RunEvent
from bridge.core.run import Run, Started
from bridge.core.states import Evidence, Role, SessionStatus, ThreadType, WaitReason
from bridge.core.wake_events import Wake
from bridge.db.deps import Deps
from bridge.ports.gateway import Ring
from tests.support.postgres import Owner

WORKSPACE = "ws_1"
T0 = datetime(2030, 1, 1, tzinfo=UTC)

TEST_POLICY = Policy(
    live=RungLimits(tries=3, accept_timeout_s=8.0, read_timeout_s=30.0),
    resume=RungLimits(tries=0, accept_timeout_s=10.0, read_timeout_s=30.0),
    spawn=RungLimits(tries=0, accept_timeout_s=10.0, read_timeout_s=30.0),
    wake_life_s_max=600.0,
    read_extension_s_max=90.0,
    seat_wait_s=20.0,
)
"""A whole policy with short numbers: a wake's life fits into ten minutes of the test clock."""


class OrderedIds:
    """Ids that tell their order: msg_000001, wake_000002."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """The next id."""
        with self._lock:
            return f"{prefix.removesuffix('_')}_{next(self._numbers):06d}"


class RecordingGateway:
    """The doorbell: what was rung, in order."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []

    def ring(self, rings: Sequence[Ring]) -> None:
        """Remember."""
        self.rings += rings

    def take(self) -> list[Ring]:
        """What was rung since the last look."""
        taken, self.rings = self.rings, []
        return taken

    def names(self) -> list[str]:
        """The names of what was rung since the last look."""
        return [ring.task.value for ring in self.take()]


class FixedPolicies:
    """The PolicySource of a test: one policy, which it may change."""

    def __init__(self, policy: Policy = TEST_POLICY) -> None:
        self.policy = policy

    def current(self, workspace_id: str) -> Policy:
        """The policy."""
        del workspace_id
        return self.policy

    @property
    def seed(self) -> Policy:
        """The policy."""
        return self.policy

    def forget(self, workspace_id: str) -> None:
        """Nothing is kept."""


class Clock:
    """`bridge_now()` of one database, stopped: it moves when the test says so."""

    def __init__(self, owner: Owner, start: datetime = T0) -> None:
        self._owner = owner
        owner.run("CREATE TABLE test_clock (now timestamptz NOT NULL)")
        owner.run("GRANT SELECT ON test_clock TO PUBLIC")
        owner.run("INSERT INTO test_clock VALUES (:now)", now=start)
        owner.run(
            "CREATE OR REPLACE FUNCTION bridge_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
            "$$ SELECT now FROM test_clock $$"
        )

    @property
    def now(self) -> datetime:
        """What the database's clock says."""
        moment: datetime = self._owner.value("SELECT now FROM test_clock")
        return moment

    def set(self, moment: datetime) -> None:
        """It is this late now."""
        self._owner.run("UPDATE test_clock SET now = :now", now=moment)

    def advance(self, seconds: float) -> datetime:
        """Later by so much."""
        moment = self.now + timedelta(seconds=seconds)
        self.set(moment)
        return moment


def make_caller(
    agent_id: str = "alice",
    role: Role = Role.PARTICIPANT,
    *,
    workspace: str = WORKSPACE,
    session: str | None = None,
) -> Caller:
    """Who calls: by default a participant in its own session."""
    return Caller(workspace, agent_id, role, session or f"ses_{agent_id}", "jti_1", "req_1")


@dataclass
class World:
    """Life stages in one workspace, on top of the real commands."""

    deps: Deps
    owner: Owner
    gateway: RecordingGateway
    workspace: str = WORKSPACE
    hosts: set[str] = field(default_factory=set)

    def now(self) -> datetime:
        """The database's clock."""
        moment: datetime = self.owner.value("SELECT bridge_now()")
        return moment

    def seen_host(self, host: str = "local") -> None:
        """The host's worker was seen just now, and stays seen."""
        self.owner.run(
            "INSERT INTO hosts (host, holder, seen_at) VALUES (:host, 'w', bridge_now() + interval '10 years') "
            "ON CONFLICT (host) DO UPDATE SET seen_at = excluded.seen_at",
            host=host,
        )
        self.hosts.add(host)

    def agent(self, agent_id: str, *, human: bool = False, host: str = "local") -> str:
        """An agent that is known, and holds no seat."""
        self.owner.run(
            "INSERT INTO agents (workspace_id, agent_id, is_human, host, created_at, updated_at) VALUES "
            "(:ws, :agent, :human, :host, bridge_now(), bridge_now()) ON CONFLICT DO NOTHING",
            ws=self.workspace,
            agent=agent_id,
            human=human,
            host=host,
        )
        return agent_id

    def live(self, agent_id: str, session_id: str | None = None, *, host: str = "local") -> int:
        """An agent whose session a runtime holds, on a host that is seen. Gives the session's term."""
        self.agent(agent_id, host=host)
        self.seen_host(host)
        return attach_session(
            self.deps,
            self.workspace,
            agent_id,
            session_id or f"ses_{agent_id}",
            host=host,
            pid=4242,
            runtime="pty",
        )

    def thread(
        self, *agents: str, thread_id: str | None = None, kind: ThreadType = ThreadType.WORKFLOW, **roles: str
    ) -> str:
        """A thread with these participants; `bob="reviewer"` gives bob that role."""
        thread_id = thread_id or self.deps.ids.new("th_")
        self.owner.run(
            "INSERT INTO workspaces (workspace_id, created_at) VALUES (:ws, bridge_now()) ON CONFLICT DO NOTHING",
            ws=self.workspace,
        )
        now = self.now()
        people = [*agents, *(name for name in roles if name not in agents)]
        base: dict[str, Any] = {"thread_id": thread_id, "workspace_id": self.workspace}
        row = base | {"title": "t", "type": kind.value, "status": "active", "participants": len(people)}
        row |= {"progress_at": now, "created_by": people[0], "created_at": now, "updated_at": now}
        self.owner.insert("threads", row)
        for name in people:
            self.agent(name)
            member = base | {"agent_id": name, "role": roles.get(name), "joined_at": now}
            self.owner.insert("participants", member)
        return thread_id

    def caller(self, agent_id: str, role: Role = Role.PARTICIPANT) -> Caller:
        """Somebody of this workspace."""
        return make_caller(agent_id, role, workspace=self.workspace)

    def post(self, thread_id: str, sender: str = "alice", body: str = "hello", **draft: Any) -> Posted:  # noqa: ANN401
        """A message by the sender."""
        return post_message(self.deps, self.caller(sender), thread_id, Draft(body, **draft))

    def startable(self, agent_id: str, *, preset: str = "script", host: str = "local", slots: int = 8) -> str:
        """An agent that its host's configuration says how to resume and to spawn, and slots for that."""
        self.agent(agent_id, host=host)
        self.seen_host(host)
        self.owner.run("UPDATE agents SET preset = :p WHERE agent_id = :a", p=preset, a=agent_id)
        self.owner.run(
            "UPDATE hosts SET presets = coalesce(presets, '{}') || jsonb_build_object(CAST(:p AS text), "
            'CAST(\'["resume", "spawn"]\' AS jsonb)) WHERE host = :h',
            p=preset,
            h=host,
        )
        self.owner.run(
            "INSERT INTO slots (host, n) SELECT :h, n FROM generate_series(1, :most) n ON CONFLICT DO NOTHING",
            h=host,
            most=slots,
        )
        return agent_id

    def dormant(self, agent_id: str, session_id: str | None = None, *, host: str = "local") -> str:
        """A startable agent with a session that can be resumed; its process has ended. Gives the session."""
        self.startable(agent_id, host=host)
        session_id = session_id or f"ses_{agent_id}"
        caller = make_caller(agent_id, workspace=self.workspace, session=session_id)
        for status in (SessionStatus.IDLE, SessionStatus.OFFLINE):
            heartbeat_session(self.deps, caller, session_id, runtime="command", resumable=True, status=status)
        return session_id

    # --- the stages of a run -------------------------------------------------------------------------

    def started(self, wake_id: str, worker: str = "hand-1") -> Begun:
        """A process was started for the wake, and has not shown yet whose session it is."""
        advanced = self.advance(wake_id, worker)
        assert advanced.probe is not None, advanced
        begun = self.touch(wake_id)
        assert begun.run is not None, begun
        self.settle(begun, Evidence.UNVERIFIED)
        self.move(begun, Started("boot", 100, 101, 1))
        return begun

    def move(self, begun: Begun, event: RunEvent) -> Run:
        """The run of the attempt moves."""
        assert begun.run is not None
        return move_run(self.deps, self.workspace, begun.run.run_id, event, worker="hand-1")

    def run(self, begun: Begun) -> dict[str, Any]:
        """The run's row."""
        assert begun.run is not None
        return self.owner.one("SELECT * FROM runs WHERE run_id = :id", id=begun.run.run_id)

    # --- the stages of a wake ------------------------------------------------------------------------

    def pending(self, thread_id: str, sender: str = "alice") -> str:
        """A wake just born, for the one other participant."""
        return self.post(thread_id, sender).wakes[0].wake_id

    def advance(self, wake_id: str, worker: str = "hand-1") -> Advanced:
        """A ring: somebody looks at the wake."""
        return advance_wake(self.deps, self.workspace, wake_id, worker)

    def touch(self, wake_id: str) -> Begun:
        """The hand that claimed it begins."""
        begun = touch_wake(self.deps, self.workspace, wake_id, fence=self.wake(wake_id)["fence"])
        assert isinstance(begun, Begun), begun
        return begun

    def touching(self, wake_id: str) -> Begun:
        """Claimed and begun."""
        advanced = self.advance(wake_id)
        assert advanced.probe is not None, advanced
        return self.touch(wake_id)

    def settle(
        self,
        begun: Begun,
        evidence: Evidence = Evidence.ACCEPTED,
        reason: WaitReason = WaitReason.HUMAN,
        why: str = "",
        by: str = "",
    ) -> Wake:
        """The hand reports."""
        return settle_wake(
            self.deps,
            self.workspace,
            begun.wake.wake_id,
            fence=begun.attempt.fence,
            attempt_id=begun.attempt.attempt_id,
            evidence=evidence,
            reason=reason,
            why=why,
            by=by,
        )

    def waiting(self, wake_id: str, evidence: Evidence = Evidence.ACCEPTED) -> Begun:
        """Handed over, with this evidence."""
        begun = self.touching(wake_id)
        self.settle(begun, evidence)
        return begun

    def wake(self, wake_id: str) -> dict[str, Any]:
        """The wake's row."""
        return self.owner.one("SELECT * FROM wakes WHERE wake_id = :id", id=wake_id)

    def open_wake(self, thread_id: str, agent_id: str) -> dict[str, Any] | None:
        """The open wake of an agent in a thread."""
        rows = self.owner.rows(
            "SELECT * FROM wakes WHERE thread_id = :t AND agent_id = :a "
            "AND state IN ('pending', 'delivering', 'touching', 'waiting')",
            t=thread_id,
            a=agent_id,
        )
        return rows[0] if rows else None
