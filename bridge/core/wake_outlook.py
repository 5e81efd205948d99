"""What an open wake waits for, what would end the wait, and what follows: said ahead, by the rules that will decide it.

Nothing here decides. Which rung comes next is asked of the ladder itself; the words beside it are for people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge.core.hold import hold_words
from bridge.core.ladder import Choice, Facts, Tried, choose
from bridge.core.policy import Policy
from bridge.core.states import Rung, WaitReason, WakeState
from bridge.core.wake_events import Wake
from bridge.core.wake_judgement import human_s, rung_of

TOLD = "it fails, and the operators and whoever wrote are told"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the wake waits for and until when, what ends that sooner, and what follows when nothing does."""

    waits_for: str
    until: datetime
    sooner: tuple[str, ...]
    next: str
    next_rung: Rung | None


def outlook(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Outlook | None:
    """How an open wake goes on, as far as it can be known now; None when it has ended."""
    view = _STATES.get(wake.state)
    return view(wake, facts, policy, now) if view else None


# --- what comes next --------------------------------------------------------------------------------------


def _follows(choice: Choice, wake: Wake, policy: Policy) -> tuple[str, Rung | None]:
    if choice.rung is Rung.OPERATOR:
        if choice.wait is WaitReason.SEAT:
            return (
                f"no rung applies: it waits {policy.seat_wait_s:g} s for a session of the agent; then {TOLD}",
                None,
            )
        return f"no rung is left: {TOLD}", None
    tries = policy.limits(choice.rung).tries
    what = f"{choice.rung}, try {wake.tried.count(choice.rung) + 1} of {tries}"
    return f"{what}{_BUT.get(choice.wait, '')}" if choice.wait else what, choice.rung


_BUT = {
    WaitReason.SLOT: ", once its session, and a slot of its host, is free",
    WaitReason.HOST: ", once its host drains no more",
}


def _pending(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Outlook:
    words, sooner = _reason(wake, facts, policy, now)
    follows, rung = _follows(choose(_later(wake, policy), facts, policy), wake, policy)
    if facts.paused is not None or not facts.host_seen:
        follows = (
            f"it looks again; as long as nothing changes it waits on, until its life is over: then {TOLD}"
        )
        rung = None
    elif _is_held(facts) and not wake.forced:
        follows = f"once nobody holds its session: {follows}"
    elif facts.unreachable_until is not None and not wake.attempts:
        follows = f"one wake of the agent tries, as a probe: {follows}"
    reads = f"the agent reads up to {wake.target_seq}"
    forced = () if wake.reason in (WaitReason.PAUSED, WaitReason.HOST) else ("an operator forces it",)
    return Outlook(words, wake.due_at, (*sooner, reads, *forced), follows, rung)


def _is_held(facts: Facts) -> bool:
    return facts.session is not None and facts.session.hold is not None


def _later(wake: Wake, policy: Policy) -> Tried:
    over = wake.reason is WaitReason.SEAT and (wake.due_at - wake.since).total_seconds() >= policy.seat_wait_s
    return replace(wake.tried, seat_over=over)


Said = tuple[str, tuple[str, ...]]
"""What is waited for, and what would end that sooner."""

_PLAIN: dict[WaitReason, Said] = {
    WaitReason.FIRST: ("its time", ()),
    WaitReason.LISTENING: ("the agent listens: it gets a short while to read by itself", ()),
    WaitReason.BACKOFF: ("a pause before the same rung is tried again", ()),
    WaitReason.FALLBACK: ("the next try is due", ()),
    WaitReason.BUSY: (
        "the agent's program is in the middle of something",
        ("its program takes input again",),
    ),
    WaitReason.UNREACHABLE: (
        "the agent did not answer its last wakes: it is tried again at times only",
        ("any sign of life of the agent: it reads, posts or sends a heartbeat",),
    ),
    WaitReason.SLOWED: ("the conversation goes in circles, and is slowed down", ()),
}


def _human(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del facts
    held_s = wake.deferred_s + human_s(wake, now)
    words = f"a human types there: holds it since {held_s:.0f} s, at most {policy.defer_s_max:g} s"
    return words, (f"nobody types there for {policy.defer_quiet_s:g} s",)


def _rate(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del wake, now
    words = f"{facts.wakes_last_minute} attempts for this agent in this thread within a minute"
    return words, (f"fewer than {policy.wakes_per_minute_max} of them within a minute",)


def _slot(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del wake, now
    session = facts.session
    if session is not None and (session.in_flight or session.running):
        return "another attempt, or its process, is in the agent's session", ("that ends",)
    if facts.starting:
        return "a process is being started for the agent, for another thread", ("that takes over",)
    if facts.agent_runs >= policy.agent_slots:
        return f"{facts.agent_runs} runs of the agent are open, as many as it may have", ("one of them ends",)
    if not facts.slots_free:
        return "no slot of its host is free", ("a run on its host ends",)
    return "a slot, which is free by now: it looks again", ()


def _seat(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del facts
    left_s = max(0.0, policy.seat_wait_s - (now - wake.since).total_seconds())
    return f"a session that could be woken, for {left_s:.0f} s more", ("a session takes the agent's seat",)


def _host(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del wake, policy, now
    elsewhere = (f"it moves to {facts.elsewhere}",) if facts.elsewhere else ()
    if facts.host_seen:
        return "its host drains: nothing new starts there", ("its host starts things again", *elsewhere)
    return "its host is not seen", ("its host is seen again", *elsewhere)


def _paused(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del wake, policy, now
    if facts.paused is None:
        return "a pause, which has ended by now: it looks again", ()
    return f"it is paused: {facts.paused}", ("the pause is ended",)


def _held(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    del wake, policy, now
    hold = facts.session.hold if facts.session is not None else None
    if hold is None:
        return "a hold of its session, which has ended by now: it looks again", ()
    return f"its session is to be left alone: {hold_words(hold)}", ("the hold is released",)


_SAID: dict[WaitReason, Callable[[Wake, Facts, Policy, datetime], Said]] = {
    WaitReason.HUMAN: _human,
    WaitReason.RATE: _rate,
    WaitReason.SLOT: _slot,
    WaitReason.SEAT: _seat,
    WaitReason.HOST: _host,
    WaitReason.PAUSED: _paused,
    WaitReason.HELD: _held,
}


def _reason(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Said:
    said = _SAID.get(wake.reason)
    return said(wake, facts, policy, now) if said else _PLAIN[wake.reason]


def _delivering(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Outlook:
    del facts, policy, now
    return Outlook(
        f"{wake.worker or 'a worker'} looks whether the way is free for {rung_of(wake)}",
        wake.due_at,
        ("that worker begins, or finds something in the way",),
        "its lease is over: pending again, no try burnt",
        wake.rung,
    )


def _touching(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Outlook:
    del facts, policy, now
    does = "types the line" if rung_of(wake) is Rung.LIVE else "starts the process"
    return Outlook(
        f"{wake.worker or 'a worker'} {does}",
        wake.due_at,
        ("that worker says how far it came",),
        "its lease is over: waited for as if handed over, how far it came is not known",
        wake.rung,
    )


def _waiting(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Outlook:
    del now
    live = rung_of(wake) is Rung.LIVE
    reads = f"the agent reads up to {wake.offered_seq}"
    if wake.accepted_at is None:
        words = (
            "the runtime to show that it took the text" if live else "its process to show whose session it is"
        )
        sooner: tuple[str, ...] = (reads,)
    else:
        longest = wake.accepted_at + timedelta(seconds=policy.read_extension_s_max)
        words = f"{reads} (longer while it is busy, at most until {longest:%H:%M:%S} UTC)"
        sooner = ("it does",)
    if not live:
        sooner = (*sooner, "its process ends: judged at once")
    session = facts.session and replace(facts.session, in_flight=False, running=False)
    follows, rung = _follows(choose(wake.tried, replace(facts, session=session), policy), wake, policy)
    if rung is None and "waits" not in follows:
        return Outlook(words, wake.due_at, sooner, follows, None)
    again = rung is not None and rung is wake.rung
    pause = f", after {policy.backoff(wake.tried.count(rung_of(wake))).total_seconds():g} s" if again else ""
    return Outlook(words, wake.due_at, sooner, f"this try has failed; then {follows}{pause}", rung)


_STATES: dict[WakeState, Callable[[Wake, Facts, Policy, datetime], Outlook]] = {
    WakeState.PENDING: _pending,
    WakeState.DELIVERING: _delivering,
    WakeState.TOUCHING: _touching,
    WakeState.WAITING: _waiting,
}
