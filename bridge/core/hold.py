"""A hold: somebody says that a session is to be left alone, for a while or until it is given back.

Snooze and hand-over are this one thing. While it lasts nothing is typed into the session, and no process is started
for it or beside it, unless an operator forces a wake; what waits burns no try, and dies when it would have died.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.core.errors import Forbidden, InvalidArgument
from bridge.core.policy import Policy


@dataclass(frozen=True, slots=True)
class Hold:
    """Who said so, until when, and why."""

    until: datetime
    by: str
    why: str | None = None


def hold_words(hold: Hold) -> str:
    """`olivia holds it until 12:15:00 UTC: I am in the middle of a rebase`."""
    said = f"{hold.by} holds it until {hold.until:%H:%M:%S} UTC"
    return f"{said}: {hold.why}" if hold.why else said


def hold_seconds(for_s: float | None, policy: Policy) -> float:
    """How long a hold that was asked for lasts, in seconds; None: as long as is allowed; 0: it ends now.

    Raises InvalidArgument.
    """
    if for_s == 0:
        return 0.0
    most = policy.hold_s_max
    if most == 0:
        raise InvalidArgument("the policy allows no holds: hold_s_max is 0", path="for_s")
    if for_s is None:
        return most
    if not 1 <= for_s <= most:
        raise InvalidArgument(f"for_s must be 0, or from 1 to {most:g} seconds (hold_s_max)", path="for_s")
    return for_s


def check_holder(hold: Hold | None, by: str, *, operator: bool) -> None:
    """Raise Forbidden where somebody else's hold stands: only an operator changes that."""
    if hold is not None and hold.by != by and not operator:
        raise Forbidden(f"{hold_words(hold)}; only {hold.by} or an operator may change that")
