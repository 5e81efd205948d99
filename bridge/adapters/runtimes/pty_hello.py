"""The first line of a wrapper's: who it is for, and which processes it speaks of.

Rules of this file:

- Who dials is known from the kernel; a pid in the line only has to agree with it. A participant must not choose the
  directory in which its session is resumed.
- A wrapper that serves a pane names the pane's process too: one of its own user's. Where agents are another user, a
  wrapper of theirs must not name one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.core.errors import InvalidArgument, Unauthorized

PTY: Final = "pty"
TMUX: Final = "tmux"


@dataclass(frozen=True, slots=True)
class Hello:
    """A registration whose form and processes were checked; the session stands where `agent_pid` does."""

    token: str
    session_id: str
    pid: int
    preset: object
    runtime: str
    agent_pid: int

    @classmethod
    def of(cls, line: Mapping[str, Any] | None, peer: int, uid: int) -> Hello:
        """Read the line of the process `peer`, which is that user's. Raises InvalidArgument, Unauthorized."""
        if line is None or line.get("op") != "register":
            raise InvalidArgument("the first line registers")
        token, session_id, pid = line.get("token"), line.get("session_id"), line.get("pid")
        if not (isinstance(token, str) and isinstance(session_id, str) and isinstance(pid, int)):
            raise InvalidArgument("to register, give token, session_id and pid")
        if pid != peer:
            raise Unauthorized("the wrapper registers as another process than it is")
        runtime = line.get("runtime", PTY)
        if runtime not in (PTY, TMUX):
            raise InvalidArgument("runtime is pty or tmux")
        agent_pid = line.get("agent_pid", pid) if runtime == TMUX else pid
        if not isinstance(agent_pid, int) or not _is_of(uid, agent_pid):
            raise Unauthorized("agent_pid is no process of the wrapper's user")
        return cls(token, session_id, pid, line.get("preset"), runtime, agent_pid)


def _is_of(uid: int, pid: int) -> bool:
    try:
        return pid > 0 and Path(f"/proc/{pid}").stat().st_uid == uid
    except OSError:
        return False
