"""Wakes by life stage, each brought there by the core itself, and facts to judge them by."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge.core.ladder import Facts, SessionFacts
from bridge.core.policy import Policy
from bridge.core.states import Evidence, Rung, WakeState
from bridge.core.wake import birth, decide
from bridge.core.wake_events import Due, HandedOver, TouchAllowed, Wake

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy()
LIVE = SessionFacts(session_id="s1", live=True, process_alive=True)
FACTS = Facts(cursor=0, session=LIVE)
NOBODY = Facts(cursor=0)
BOTH = frozenset({Rung.RESUME, Rung.SPAWN})


def at(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return NOW + timedelta(seconds=seconds)


def session(**changes: object) -> Facts:
    """Facts with a session that differs from the live one."""
    return replace(FACTS, session=replace(LIVE, **changes))  # type: ignore[arg-type]


def born(target_seq: int = 3, policy: Policy = POLICY) -> Wake:
    """Just opened."""
    return birth(
        wake_id="w1",
        workspace_id="ws",
        thread_id="t1",
        agent_id="reviewer",
        target_seq=target_seq,
        policy=policy,
        now=NOW,
    )


def claimed(facts: Facts = FACTS, wake: Wake | None = None, now: datetime = NOW) -> Wake:
    """A worker holds it."""
    wake = decide(wake or born(), Due(facts, "worker-1"), POLICY, now).state
    assert wake.state is WakeState.DELIVERING
    return wake


def touching(facts: Facts = FACTS, wake: Wake | None = None, now: datetime = NOW) -> Wake:
    """The first byte may leave."""
    wake = claimed(facts, wake, now)
    wake = decide(wake, TouchAllowed(wake.fence, facts), POLICY, now).state
    assert wake.state is WakeState.TOUCHING
    return wake


def waiting(evidence: Evidence = Evidence.ACCEPTED, facts: Facts = FACTS, wake: Wake | None = None) -> Wake:
    """Handed over."""
    wake = touching(facts, wake)
    wake = decide(wake, HandedOver(wake.fence, evidence, facts), POLICY, NOW).state
    assert wake.state is WakeState.WAITING
    return wake


def tired() -> Wake:
    """Pending, with every live try used up."""
    wake = born()
    return replace(wake, tried=replace(wake.tried, live=POLICY.live.tries))
