"""`run`: put the parts together, start the agent, and leave everything as it was found.

Rules of this file:
- Order matters: the token first (no token, no session), then the user's terminal, then the fork, then the
  threads.
- Whatever happens in between, the terminal is given back and the token file is gone.
- What the human should know is said on stderr when the agent has left the screen, never before.
"""

import contextlib
import os
import pty
import select
import signal
import sys
import termios
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.terminal import monitor, tty
from bridge.terminal.control import Control
from bridge.terminal.heartbeat import Heartbeat, SessionClient, TokenFile
from bridge.terminal.hooks import Hooks
from bridge.terminal.inject import Injector
from bridge.terminal.judge import judge_for
from bridge.terminal.link import Link, Message
from bridge.terminal.live import Live
from bridge.terminal.notice import Notice
from bridge.terminal.relay import Relay, Wires
from bridge.terminal.screen import Screen
from bridge.terminal.verdict import Rules
from bridge.terminal.ways import Ways

HEADLESS_SIZE: Final = (120, 40)
REAP_S_MAX: Final = 1.0
_SIGNALS: Final = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, as whom, and where the bridge is.

    `rules` and `preset` say what the agent's input line looks like. `host_socket` is the host worker's;
    `private_dir` (made with mode 0700) holds the token file. `headless` runs without the user's terminal:
    nothing is read from stdin, the screen is only the model's, and `log` gets a copy of the output.
    `environment` is added for the agent (None takes a variable away). `quiet`: the terminal's title is left alone.
    `live` says what native ways the program has; they run with `variables` (ours) as the agent does.
    `resumes`: the program can go on with a session that it has named.
    """

    command: tuple[str, ...]
    agent_id: str
    session_id: str
    url: str
    preset: str
    rules: Rules
    host_socket: Path
    private_dir: Path
    headless: bool = False
    log: Path | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    quiet: bool = False
    live: Live = field(default_factory=Live)
    variables: Mapping[str, str] = field(default_factory=dict)
    resumes: bool = False

    def everything(self, more: Mapping[str, str | None]) -> dict[str, str]:
        """All variables of the agent's."""
        merged: dict[str, str | None] = {**self.variables, **more}
        return {name: value for name, value in merged.items() if value is not None}


def run(options: Options, client: SessionClient) -> int:
    """Run the agent until it ends; return its exit code (128+n for a signal, 127 for no such command)."""
    interactive = not options.headless and os.isatty(0) and os.isatty(1)
    if not interactive and not options.headless:
        # Somebody's pipe: the program must not notice us. There is no seat without a terminal to type into.
        sys.stderr.write("bridge: no terminal here, running the command as it is (--headless gives it one)\n")
        sys.stderr.flush()
        monitor.execute(options.command, options.environment)
    file = TokenFile(options.private_dir, os.getpid())
    heartbeat = Heartbeat(client, options.session_id, file, resumes=options.resumes)
    link = Link(options.host_socket, lambda: _hello(options, heartbeat))
    try:
        with wakeup_pipe() as wakeup, _own_ways(options, file.path) as own:
            terminal = tty.UserTerminal(0, 1) if interactive else None
            return _start(own, terminal, heartbeat, link, wakeup, file.path)
    finally:
        link.close()
        heartbeat.stop()
        for trouble in (link.trouble, heartbeat.failure):
            if trouble:
                sys.stderr.write(f"bridge: {trouble}\n")


def _hello(options: Options, heartbeat: Heartbeat) -> Message:
    return {
        "op": "register",
        "token": heartbeat.token,
        "session_id": options.session_id,
        "pid": os.getpid(),
        "preset": options.preset,
        "runtime": "pty",
    }


@dataclass(frozen=True, slots=True)
class _Start:
    """What is started, and the parts that go with it."""

    options: Options
    command: tuple[str, ...]
    environment: dict[str, str | None]
    ways: Ways


@contextlib.contextmanager
def _own_ways(options: Options, token_file: Path) -> "Iterator[_Start]":
    """The program's native ways, and the files that they need for as long as it runs."""
    live = options.live
    settings = token_file.with_suffix(".settings.json")
    environment = _environment(options, token_file)
    hooks = None
    if live.hook_settings and live.is_free(options.command):
        hooks = Hooks(token_file.with_suffix(".hooks"), live)
        environment["BRIDGE_HOOKS"] = str(hooks.path)
        settings.write_text(live.hook_settings)
    elif live.hook_settings:
        given = " or ".join(live.unless)
        sys.stderr.write(
            f"bridge: {given} was given, so the program's hooks do not tell us anything: its screen alone does\n"
        )
    ways = Ways(live, options.command[0], options.everything(environment), hooks)
    try:
        yield _Start(options, live.command(options.command, settings), environment, ways)
    finally:
        ways.close()
        settings.unlink(missing_ok=True)


def _start(
    own: _Start,
    terminal: tty.UserTerminal | None,
    heartbeat: Heartbeat,
    link: Link,
    wakeup: int,
    token_file: Path,
) -> int:
    options = own.options
    cols, rows = terminal.size() if terminal else HEADLESS_SIZE
    screen = Screen(cols, rows)
    last_words = monitor.LastWords()
    master, slave = pty.openpty()
    tty.set_window_size(slave, cols, rows)
    typed, seeded = b"", True
    if terminal:
        termios.tcsetattr(slave, termios.TCSANOW, terminal.modes)
        terminal.raw()
        last_words.set(b"")
        typed, cursor = terminal.ask_cursor()
        seeded = cursor is not None
        if cursor is not None:
            screen.feed(b"\x1b[%d;%dH" % (cursor[1], cursor[0]))
    try:
        plan = monitor.Plan(
            own.command,
            own.environment,
            token_file,
            monitor.Terminal(terminal.out, terminal.modes, last_words) if terminal else None,
        )
        started = monitor.start(plan, slave)
        os.close(slave)
        os.set_blocking(master, False)
        heartbeat.start()
        injector = Injector(options.rules.paste_required, options.rules.settled_s)
        with _copy(options.log) as copy:
            relay = Relay(
                Wires(
                    master=master,
                    events=started.events,
                    wakeup=wakeup,
                    terminal=terminal,
                    screen=screen,
                    judge=judge_for(options.rules),
                    injector=injector,
                    link=link,
                    control=Control(link, injector),
                    heartbeat=heartbeat,
                    last_words=last_words,
                    copy=copy,
                    notice=Notice(quiet=options.quiet or terminal is None),
                    ways=own.ways,
                ),
                typed_before=typed,
                cursor_unanswered=not seeded,
            )
            code = relay.run()
        _reap(started.pid)
        return code
    finally:
        if terminal:
            last_words.set(None)
            with contextlib.suppress(OSError, termios.error):
                terminal.give_back(screen.resets())
        os.close(master)


def _reap(pid: int) -> None:
    # It ends right after its last report; it may live on only when we leave before the agent does.
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)
        select.select([fd], [], [], REAP_S_MAX)
        os.close(fd)
        os.waitpid(pid, os.WNOHANG)


def _environment(options: Options, token_file: Path) -> dict[str, str | None]:
    return {
        **options.environment,
        "BRIDGE_URL": options.url,
        "BRIDGE_TOKEN_FILE": str(token_file),
        "BRIDGE_TOKEN": None,
        "BRIDGE_AGENT_ID": options.agent_id,
        "BRIDGE_SESSION_ID": options.session_id,
        "BRIDGE_HOOKS": None,
    }


@contextlib.contextmanager
def _copy(log: Path | None) -> "Iterator[_Log | None]":
    if log is None:
        yield None
        return
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield _Log(fd)
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class _Log:
    fd: int

    def write(self, data: bytes, /) -> int:
        return os.write(self.fd, data)


@contextlib.contextmanager
def wakeup_pipe() -> "Iterator[int]":
    """Turn signals into bytes of a pipe that the loop waits for."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    old = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)
