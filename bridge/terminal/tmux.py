"""`attach`: serve a pane of tmux, an existing one or a new one, and leave it as it was found.

Rules of this file:
- Order matters: the token first (no token, no session), then the pane, then the line to the host.
- We are a process beside the pane, not above it: when we go, the agent goes on.
- No secret and none of the user's variables is ever on a command line, or left in a tmux server that we started.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.terminal import tmux_start
from bridge.terminal.control import Control
from bridge.terminal.heartbeat import Heartbeat, SessionClient, TokenFile
from bridge.terminal.inject import Injector
from bridge.terminal.judge import judge_for
from bridge.terminal.link import Link, Message
from bridge.terminal.runner import wakeup_pipe
from bridge.terminal.tmux_hold import Hold
from bridge.terminal.tmux_pane import Pane, Tmux, TmuxError
from bridge.terminal.tmux_process import Tenant, leader, named, processes
from bridge.terminal.tmux_relay import PaneRelay, Parts, Seat
from bridge.terminal.tmux_status import StatusLine
from bridge.terminal.verdict import Rules

RUNTIME: Final = "tmux"


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """Which pane to serve, as whom, and where the bridge is.

    `pane_id` names an existing pane; None: `command` is started in a new session of tmux. `socket` is the tmux
    server's; None: the one tmux takes by itself. `programs` are the names the agent's program may have; none: it is
    whoever has the terminal when we come. `variables` are the user's own; `environment` is added to them for the
    agent (None takes one away). The rest is as for `run`.
    """

    agent_id: str
    session_id: str
    url: str
    preset: str
    rules: Rules
    host_socket: Path
    private_dir: Path
    pane_id: str | None = None
    command: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    socket: Path | None = None
    variables: Mapping[str, str] | None = None
    environment: Mapping[str, str | None] | None = None


def attach(options: AttachOptions, client: SessionClient, say: Callable[[str], None]) -> int:
    """Serve the pane until it ends or a signal says to let go of it; return 0.

    `say` gets one line at a time for the human. Raises TmuxError where there is no such pane or no tmux, and
    LookupError where the pane's program is not the one it is to be.
    """
    file = TokenFile(options.private_dir, os.getpid())
    heartbeat = Heartbeat(client, options.session_id, file, RUNTIME)
    try:
        tmux = Tmux(_servers_own(options), options.socket)
        pane = _open(options, tmux, file.path)
        seen = pane.look()
        tenant = _tenant(options, pane, seen.pane_pid)
    except BaseException:
        heartbeat.stop()
        raise
    session = _Session(options, client, file, seen.pane_pid)
    status = StatusLine(pane, seen.session_id)
    try:
        with wakeup_pipe() as wakeup:
            parts = Parts(
                pane=pane,
                hold=Hold(pane, os.getpid()),
                status=status,
                tenant=tenant,
                judge=judge_for(options.rules),
                injector=session.injector,
                wakeup=wakeup,
                sit=lambda: session.sit(Heartbeat(client, options.session_id, file, RUNTIME)),
                say=say,
            )
            if options.pane_id is None:
                say(f"look at it with: {tmux.command} attach -t {session_name(options.agent_id)}")
            say(f"serving the pane {pane.id} as {options.agent_id} (Ctrl-C lets go of it)")
            say(PaneRelay(parts, session.sit(heartbeat)).run())
    finally:
        status.restore()
        for trouble in session.troubles():
            say(trouble)
    return 0


def names_in_pane(pane_id: str, socket: Path | None, variables: Mapping[str, str]) -> frozenset[str]:
    """The names of the programs that have a pane's terminal. Raises TmuxError and ValueError as `attach` does."""
    found = processes(Pane(Tmux(variables, socket), pane_id).look().pane_pid)
    return frozenset(name for process in found if process.is_in_front for name in process.names)


class _Session:
    """What stays the same while the agent goes and comes."""

    def __init__(
        self, options: AttachOptions, client: SessionClient, file: TokenFile, agent_pid: int
    ) -> None:
        self._options, self._client, self._file, self._agent_pid = options, client, file, agent_pid
        self.injector = Injector(options.rules.paste_required, options.rules.settled_s)
        self._seat: Seat | None = None

    def sit(self, heartbeat: Heartbeat) -> Seat:
        """Open a line to the host, and begin to beat."""
        link = Link(self._options.host_socket, lambda: self._hello(heartbeat))
        heartbeat.start()
        self._seat = Seat(link, Control(link, self.injector), heartbeat)
        return self._seat

    def troubles(self) -> list[str]:
        """What the human should know in the end."""
        seat = self._seat
        return [told for told in (seat.link.trouble, seat.heartbeat.failure) if told] if seat else []

    def _hello(self, heartbeat: Heartbeat) -> Message:
        return {
            "op": "register",
            "token": heartbeat.token,
            "session_id": self._options.session_id,
            "pid": os.getpid(),
            "preset": self._options.preset,
            "runtime": RUNTIME,
            "agent_pid": self._agent_pid,
        }


def _servers_own(options: AttachOptions) -> dict[str, str]:
    """The variables of a tmux that we run: those of a server that starts here go to all its panes."""
    taken = {name for name, value in (options.environment or {}).items() if value is None}
    return {
        name: value
        for name, value in (options.variables or {}).items()
        if name not in taken | {"BRIDGE_TOKEN"}
    }


def _open(options: AttachOptions, tmux: Tmux, token_file: Path) -> Pane:
    if options.pane_id is not None:
        return Pane(tmux, options.pane_id)
    changed = {
        **(options.environment or {}),
        "BRIDGE_URL": options.url,
        "BRIDGE_TOKEN_FILE": str(token_file),
        "BRIDGE_TOKEN": None,
        "BRIDGE_AGENT_ID": options.agent_id,
        "BRIDGE_SESSION_ID": options.session_id,
    }
    told = options.private_dir / f"start-{os.getpid()}.json"
    fd = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(
            {"argv": list(options.command), "environment": {**(options.variables or {}), **changed}}, file
        )
    name = session_name(options.agent_id)
    starter = (sys.executable, "-I", str(tmux_start.__file__), str(told))
    try:
        return Pane(tmux, tmux.new_session(name, Path.cwd(), starter))
    except TmuxError:
        told.unlink(missing_ok=True)
        raise


def session_name(agent_id: str) -> str:
    """The name of the tmux session that an agent gets; tmux itself has a meaning for `.` and `:`."""
    return "bridge-" + agent_id.replace(".", "_").replace(":", "_")


def _tenant(options: AttachOptions, pane: Pane, pane_pid: int) -> Tenant:
    found = processes(pane_pid)
    if options.pane_id is None:
        return Tenant(options.programs, found[0] if found else None)
    front = leader(found)
    if options.programs and not named(found, options.programs):
        there = "nobody" if front is None else "/".join(sorted(front.names))
        raise LookupError(f"{' or '.join(options.programs)} does not run in {pane.id}: {there} is there")
    return Tenant(options.programs, None if options.programs else front)
