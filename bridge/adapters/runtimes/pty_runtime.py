"""The Runtime over the links of terminals: what a worker asks of a wrapper, and what it tells its human."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from bridge.adapters.runtimes.pty import LinkLost, PtyServer
from bridge.adapters.runtimes.pty_waiting import Waiting
from bridge.adapters.runtimes.pty_words import evidence, judge
from bridge.core.states import Evidence, WaitReason
from bridge.ports.runtime import Handed, Line, Probed, SessionRef, Waits

STATUS_S: Final = 2.0
WAIT_S: Final = 3.0
ANSWER_GRACE_S: Final = 1.0


class PtyRuntime:
    """The Runtime over the server's links. `typing` is called when the line is on its way (a rehearsal's hook)."""

    def __init__(self, server: PtyServer, *, typing: Callable[[], None] = lambda: None) -> None:
        self._server, self._typing, self._waiting = server, typing, Waiting()

    def probe(self, session: SessionRef, *, quiet_s: float, force: bool = False) -> Probed:
        """Ask the wrapper how its screen looks and how long its human has been quiet."""
        link = self._server.link(session)
        if link is None:
            return Probed(free=False, reason=WaitReason.SEAT, why="its terminal is not connected", here=False)
        try:
            return judge(link.ask({"op": "status"}, STATUS_S), quiet_s=quiet_s, force=force)
        except LinkLost as lost:
            return Probed(free=False, reason=WaitReason.SEAT, why=lost.detail, here=False)

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        """Have the wrapper type the line, if its box is empty; what it saw is the evidence."""
        link = self._server.link(session)
        if link is None:
            return Handed(Evidence.GONE, WaitReason.SEAT, "its terminal is not connected")
        question = {
            "op": "inject",
            "key": line.key,
            "text": line.text,
            "quiet_s": line.quiet_s,
            "wait_s": min(WAIT_S, line.deadline_s / 2),
            "look_first": line.look_first,
            "may_type": line.may_type,
            "force": line.force,
            "deadline_s": line.deadline_s,
        }
        try:
            return evidence(link.ask(question, line.deadline_s + ANSWER_GRACE_S, self._typing))
        except LinkLost as lost:
            if lost.sent:
                return Handed(Evidence.UNVERIFIED, WaitReason.BUSY, lost.detail)
            return Handed(Evidence.GONE, WaitReason.SEAT, lost.detail)

    def tell(self, session: SessionRef, waits: Waits) -> None:
        """Let the wrapper say it in its terminal's title; a wrapper that is gone is not told."""
        link = self._server.link(session)
        message = self._waiting.heard(session, waits)
        if link is not None and message is not None:
            with contextlib.suppress(LinkLost):
                link.send(message)
