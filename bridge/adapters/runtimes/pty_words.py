"""What a wrapper's words mean: for touching its session now, and as evidence of how far a hand came.

What it says that is not known proves nothing. The sentences are what operators and senders read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.core.states import Evidence, WaitReason
from bridge.ports.runtime import Handed, Probed

_IN_THE_WAY: Final = {
    "human": "a human is typing there",
    "draft": "somebody's draft stands in its input box",
    "busy": "its program is in the middle of something",
    "dialog": "it shows a dialog",
    "stopped": "its program is stopped",
    "unknown": "its screen was not recognised",
    "invalid": "the wrapper refused the line",
}
_EVIDENCE: Final = {
    "accepted": (Evidence.ACCEPTED, ""),
    "not_touched": (Evidence.NOT_TOUCHED, ""),
    "unverified": (Evidence.UNVERIFIED, "the line was typed, but nothing showed that it was taken"),
    "stranded": (Evidence.STRANDED, "the line was typed, and stays unsent in its input box"),
    "absent": (Evidence.ABSENT, "the line that was typed is not in its input box any more"),
}
_QUEUED: Final = "the line went to its program's queue, but nothing showed yet that it was taken"
SHOWN_BY: Final = frozenset({"queue", "record", "hook", "screen"})
_BY_A_HUMAN: Final = frozenset({"human", "draft"})


def judge(status: Mapping[str, Any], *, quiet_s: float, force: bool) -> Probed:
    """What a wrapper's status means for touching its session now."""
    idle_s, screen = status.get("human_idle_s"), str(status.get("screen"))
    if status.get("stopped"):
        return Probed(free=False, reason=WaitReason.BUSY, why=_IN_THE_WAY["stopped"])
    if status.get("draining"):
        return Probed(free=False, reason=WaitReason.BUSY, why="its terminal is closing")
    if not force and isinstance(idle_s, (int, float)) and idle_s < quiet_s:
        return Probed(free=False, reason=WaitReason.HUMAN, why=f"a human typed {idle_s:.0f} s ago")
    # A draft may be our own text, left there unsent: only who hands over can tell.
    if screen in ("empty", "draft"):
        return Probed(free=True)
    why = _IN_THE_WAY[screen if screen in ("busy", "dialog") else "unknown"]
    return Probed(free=False, reason=WaitReason.BUSY, why=why)


def evidence(result: Mapping[str, Any]) -> Handed:
    """What a wrapper's result proves, and for whom it waits when nothing was touched."""
    word = str(result.get("why") or "")[:200]
    reason = WaitReason.HUMAN if word in _BY_A_HUMAN else WaitReason.BUSY
    found, said = _EVIDENCE.get(str(result.get("result")), (Evidence.UNVERIFIED, word))
    if word == "queued" and found is Evidence.UNVERIFIED:
        said = _QUEUED
    by = str(result.get("by"))
    return Handed(found, reason, said or _IN_THE_WAY.get(word, word), by if by in SHOWN_BY else "")
