"""`attach`: serve a pane of tmux, an existing one or a new one, and leave it as it was found.

Rules of this file:
- Order matters: the token first (no token, no session), then the pane, then the line to the host.
- We are a process beside the pane, not above it: when we go, the agent goes on.
- No secret and none of the user's variables is ever on a command line, or left in a tmux server that we started.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.terminal import tmux_start
from bridge.terminal.control import Control
from bridge.terminal.heartbeat import Heartbeat, SessionClient, TokenFile
from bridge.terminal.hooks import Hooks
from bridge.terminal.inject import Injector
from bridge.terminal.judge import judge_for
from bridge.terminal.link import Link, Message
from bridge.terminal.live import Live
from bridge.terminal.runner import wakeup_pipe
from bridge.terminal.tmux_hold import Hold
from bridge.terminal.tmux_pane import Pane, Tmux, TmuxError
from bridge.terminal.tmux_process import Tenant, environment_of, is_shell, leader, named, processes
from bridge.terminal.tmux_relay import PaneRelay, Parts, Seat
from bridge.terminal.tmux_status import StatusLine
from bridge.terminal.verdict import Rules
from bridge.terminal.ways import Ways, no_ways

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
    live: Live = field(default_factory=Live)
    resumes: bool = False
    socket: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)

    def beat(self, client: SessionClient, file: TokenFile) -> Heartbeat:
        """A heartbeat. A session that we did not start is not resumed: it may go on in its pane when we let go."""
        resumes = self.resumes and self.pane_id is None
        return Heartbeat(client, self.session_id, file, RUNTIME, resumes=resumes)


def attach(options: AttachOptions, client: SessionClient, say: Callable[[str], None]) -> int:
    """Serve the pane until it ends or a signal says to let go of it; return 0.

    `say` gets one line at a time for the human. Raises TmuxError where there is no such pane or no tmux, and
    LookupError where the pane's program is not the one it is to be.
    """
    file = TokenFile(options.private_dir, os.getpid())
    heartbeat = options.beat(client, file)
    try:
        with wakeup_pipe() as wakeup, _opened(options, file.path) as (pane, ways):
            return _serve(options, client, file, heartbeat, pane, ways, wakeup, say)
    finally:
        heartbeat.stop()


def _serve(
    options: AttachOptions,
    client: SessionClient,
    file: TokenFile,
    heartbeat: Heartbeat,
    pane: Pane,
    ways: Ways,
    wakeup: int,
    say: Callable[[str], None],
) -> int:
    seen = pane.look()
    tenant = _tenant(options, pane, seen.pane_pid)
    session = _Session(options, seen.pane_pid)
    status = StatusLine(pane, seen.session_id)
    try:
        parts = Parts(
            pane=pane,
            hold=Hold(pane, os.getpid()),
            status=status,
            tenant=tenant,
            judge=judge_for(options.rules),
            injector=session.injector,
            ways=ways,
            wakeup=wakeup,
            sit=lambda: session.sit(options.beat(client, file)),
            say=say,
        )
        if options.pane_id is None:
            say(f"look at it with: {pane.tmux.command} attach -t {session_name(options.agent_id)}")
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

    def __init__(self, options: AttachOptions, agent_pid: int) -> None:
        self._options, self._agent_pid = options, agent_pid
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
    taken = {name for name, value in options.environment.items() if value is None}
    return {name: value for name, value in options.variables.items() if name not in taken | {"BRIDGE_TOKEN"}}


@contextlib.contextmanager
def _opened(options: AttachOptions, token_file: Path) -> Iterator[tuple[Pane, Ways]]:
    """The pane, a new one if need be, and the native ways of its program, with the files that these need."""
    tmux = Tmux(_servers_own(options), options.socket)
    if options.pane_id is not None:
        pane = Pane(tmux, options.pane_id)
        with contextlib.closing(_ways_of_pane(options, pane)) as ways:
            yield pane, ways
        return
    live, settings, hooks = options.live, token_file.with_suffix(".settings.json"), None
    environment = _environment(options, token_file)
    if live.hook_settings and live.is_free(options.command):
        hooks = Hooks(token_file.with_suffix(".hooks"), live)
        environment["BRIDGE_HOOKS"] = str(hooks.path)
        settings.write_text(live.hook_settings)
    variables = {name: value for name, value in environment.items() if value is not None}
    with contextlib.closing(Ways(live, options.command[0], variables, hooks)) as ways:
        try:
            yield _started(options, tmux, live.command(options.command, settings), environment), ways
        finally:
            settings.unlink(missing_ok=True)


def _ways_of_pane(options: AttachOptions, pane: Pane) -> Ways:
    """The ways of a program that others started: as it was started itself, and without hooks of ours."""
    found = named(processes(pane.look().pane_pid), options.programs)
    if not found:
        return no_ways()
    return Ways(options.live, found[0].program, environment_of(found[0].pid))


def _environment(options: AttachOptions, token_file: Path) -> dict[str, str | None]:
    return {
        **options.variables,
        **options.environment,
        "BRIDGE_URL": options.url,
        "BRIDGE_TOKEN_FILE": str(token_file),
        "BRIDGE_TOKEN": None,
        "BRIDGE_HOOKS": None,
        "BRIDGE_AGENT_ID": options.agent_id,
        "BRIDGE_SESSION_ID": options.session_id,
    }


def _started(
    options: AttachOptions, tmux: Tmux, command: Sequence[str], environment: Mapping[str, str | None]
) -> Pane:
    told = options.private_dir / f"agent-{os.getpid()}.start.json"  # by a name that is cleared away after us
    fd = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump({"argv": list(command), "environment": environment}, file)
    starter = (sys.executable, "-I", str(tmux_start.__file__), str(told))
    try:
        return Pane(tmux, tmux.new_session(session_name(options.agent_id), Path.cwd(), starter))
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
    if not options.programs and front is not None and is_shell(front):
        raise LookupError(
            f"a shell is in {pane.id}, which would run what is typed: start the agent there first"
        )
    return Tenant(options.programs, None if options.programs else front)
