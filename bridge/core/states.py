"""Every set of states and labels, one line a member. The database repeats them as CHECKs, compared by a test."""

from __future__ import annotations

from enum import StrEnum


class WakeState(StrEnum):
    """Where a wake is in its life; each names its evidence."""

    PENDING = "pending"  # waits until due_at, and says why
    DELIVERING = "delivering"  # claimed: leased and fenced, nothing touched yet
    TOUCHING = "touching"  # committed before the first byte leaves
    WAITING = "waiting"  # handed over: until accepted, then until read
    ACKED = "acked"  # the cursor reached what was offered
    ALREADY_ACTIVE = "already_active"  # read before anything was offered
    CANCELLED = "cancelled"  # thread blocked or closed, or an operator said so
    FAILED = "failed"  # no rung left, or its life is over


WAKE_OPEN = frozenset({WakeState.PENDING, WakeState.DELIVERING, WakeState.TOUCHING, WakeState.WAITING})
WAKE_FINAL = frozenset(WakeState) - WAKE_OPEN
WAKE_READ = frozenset({WakeState.ACKED, WakeState.ALREADY_ACTIVE})


class WaitReason(StrEnum):
    """What a pending wake waits for."""

    FIRST = "first"  # just born
    LISTENING = "listening"  # the agent listens on a stream: a short grace before anything rings
    BACKOFF = "backoff"  # the last try failed, the same rung is tried again
    FALLBACK = "fallback"  # the last try failed, the next rung is tried
    HUMAN = "human"  # a human types there
    BUSY = "busy"  # the agent is in the middle of something
    RATE = "rate"  # too many wakes a minute for this agent in this thread
    SLOT = "slot"  # another attempt is in flight there
    SEAT = "seat"  # nobody holds the agent's seat yet
    HOST = "host"  # the agent's host is not seen
    PAUSED = "paused"  # an operator paused it
    HELD = "held"  # somebody said to leave its session alone
    UNREACHABLE = "unreachable"  # the breaker of a dead agent is open
    SLOWED = "slowed"  # the conversation goes in circles


class Rung(StrEnum):
    """A way to wake an agent, in the order of the ladder."""

    LIVE = "live"
    RESUME = "resume"
    SPAWN = "spawn"
    OPERATOR = "operator"


class RunState(StrEnum):
    """Where a process that the bridge started is in its life."""

    STARTING = "starting"  # its row and slot are there, its process perhaps
    RUNNING = "running"  # its process was seen to start
    ENDING = "ending"  # it was asked to end, and then is made to
    ENDED = "ended"  # no process of it lives


class RunResult(StrEnum):
    """How a run came to its end."""

    EXITED = "exited"  # by itself, status 0
    CRASHED = "crashed"  # by itself, otherwise; or it can never be started
    KILLED = "killed"  # the bridge ended it
    LOST = "lost"  # the hand that watched it vanished, and what was left was ended; or it could not start for now


class SessionFound(StrEnum):
    """What a program found that was to go on with a session, and could not."""

    GONE = "gone"  # it does not know the session any more
    ELSEWHERE = "elsewhere"  # another program has the session open


class Evidence(StrEnum):
    """How far a hand came, as far as it can be shown."""

    ACCEPTED = "accepted"  # the runtime showed that it took the text
    UNVERIFIED = "unverified"  # handed over, acceptance not seen
    STRANDED = "stranded"  # our text stays unsent in the input box
    ABSENT = "absent"  # our text is not there, and it may not be typed again
    NOT_TOUCHED = "not_touched"  # no byte left
    GONE = "gone"  # nothing there to touch


class ThreadStatus(StrEnum):
    """Where a thread stands; `closed` is final."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    RESOLVED = "resolved"
    CLOSED = "closed"


class ThreadType(StrEnum):
    """What a thread is for; conversations are warned, not blocked."""

    CONVERSATION = "conversation"
    WORKFLOW = "workflow"
    INCIDENT = "incident"


class MessageKind(StrEnum):
    """Who speaks: agents (chat, event), or the server (system)."""

    CHAT = "chat"
    EVENT = "event"
    SYSTEM = "system"


class FindingStatus(StrEnum):
    """Where a finding stands."""

    OPEN = "open"
    FIXED = "fixed"
    VERIFIED = "verified"
    REJECTED = "rejected"


class SessionStatus(StrEnum):
    """What a session says of itself."""

    ACTIVE = "active"
    IDLE = "idle"
    OFFLINE = "offline"


class Role(StrEnum):
    """What a token allows."""

    PARTICIPANT = "participant"
    COORDINATOR = "coordinator"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    HOST = "host"


class Receipt(StrEnum):
    """How far the proof of a delivery goes."""

    STORED = "stored"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    READ = "read"
    ANSWERED = "answered"
    FAILED = "failed"
