"""The play: build the stage, play the scenes, account for what was expected, and clear everything away.

Rules of this file:

- Whatever happens, nothing stays: no process (looked for through /proc) and no folder that we made.
- A scene that fails is told with what was expected and what was seen; the others are played all the same.
- Ctrl-C, TERM and HUP end it in the same order as its own end does.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from bridge.client import ApiError
from bridge.config import load_settings
from bridge.core.errors import Conflict
from bridge.core.policy import to_data
from bridge.demo.cast import Cast, raise_cast
from bridge.demo.numbers import POLICY, table
from bridge.demo.processes import Troupe
from bridge.demo.programme import SCENES, Entry, close, seat
from bridge.demo.stack import Stack, StackFailed, start_stack
from bridge.demo.stage import Stage
from bridge.demo.starts import write_presets
from bridge.demo.timeline import Form, Timeline
from bridge.demo.watch import Account, Expectation, Scene, SceneFailed, Stopped

STOP_S_MAX = 25.0
LEAVE_S_MAX = 5.0
GONE_S_MAX = 5.0
KEPT_OF_OURS = frozenset({"BRIDGE_PG_BIN", "BRIDGE_VALKEY_SERVER"})
FAILED, INTERRUPTED = 1, 130
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """`data`: a folder that stays afterwards (it must be empty); None: one that does not.

    `keep`: leave the stack running after the last scene, until Ctrl-C.
    """

    form: Form
    data: Path | None = None
    keep: bool = False


def play(options: Options, environment: Mapping[str, str], write: Callable[[str], None] = print) -> int:
    """Play it all; the exit code is 0 only if everything expected happened and nothing was left behind."""
    timeline = Timeline(options.form, write)
    account = Account()
    with _folder(options.data) as folder, _interruptible():
        troupe = Troupe(folder, _own(environment), _run_dir(folder))
        theatre = _Theatre(timeline, account, troupe)
        interrupted = False
        try:
            theatre.play(keep=options.keep)
        except KeyboardInterrupt:
            interrupted = True
            timeline.tell(0, "demo", "told to stop")
        except StackFailed as failure:
            account.note(Expectation(0, "the stack runs", met=False, seen=str(failure)))
            theatre.explain_failure("the stack runs", str(failure))
        finally:
            _ignore()
            theatre.clear()
    return INTERRUPTED if interrupted else _verdict(timeline, account)


class _Theatre:
    """One play: its stack, its cast, and the order of things."""

    def __init__(self, timeline: Timeline, account: Account, troupe: Troupe) -> None:
        self.timeline, self.account, self.troupe = timeline, account, troupe
        self.stack: Stack | None = None
        self.cast: Cast | None = None

    def play(self, *, keep: bool) -> None:
        """From the first process to the figures."""
        self.timeline.page("Policy of this demo (* is not the default)", table(POLICY), to_data(POLICY))
        self.timeline.tell(
            0, "demo", "starts `bridge up` on its own data and free ports", str(self.troupe.data)
        )
        self.stack = start_stack(self.troupe, POLICY)
        self.stack.wait()
        self.timeline.tell(0, "bridge", "is ready: a canary row was claimed by this host", self.stack.url)
        write_presets(self.stack.data, self.troupe.data)
        self.timeline.tell(
            0, "demo", "says how agents are started on this host", f"{self.stack.data}/presets"
        )
        self.cast = raise_cast(self.troupe, self.stack)
        with self.stack.operator() as operator, self.stack.client("ci") as ci:
            stage = Stage(self.stack, operator, ci, self.cast, POLICY)
            if not self._part(0, "Before the scenes", lambda scene: seat(scene, stage)):
                return
            self._scenes(stage)
            self._part(0, "After the scenes", lambda scene: close(scene, stage, self.timeline))
            if keep:
                self._keep(self.stack)

    def _keep(self, stack: Stack) -> None:
        """Leave everything as it is until Ctrl-C, which is the end here, and no interruption."""
        facts = stack.facts
        rows = [
            f"API     {facts['url']}/docs",
            f"Flower  {facts['flower_url']}   user {facts['flower_user']}, password in {stack.data / 'stack.json'}",
            f"CLI     bridge wake list --data {stack.data}",
        ]
        data = {name: facts[name] for name in ("url", "flower_url")}
        with contextlib.suppress(KeyboardInterrupt):
            self.timeline.page("Kept running until Ctrl-C", rows, data)
            threading.Event().wait()

    def _scenes(self, stage: Stage) -> None:
        with ThreadPoolExecutor(2, thread_name_prefix="beside") as pool:
            beside: list[Future[bool]] = []
            try:
                for entry in SCENES:
                    stage.stack.check()
                    if entry.alone:  # what it does would disturb the others
                        self._join(beside)
                    if entry.beside:
                        beside.append(pool.submit(self._scene, entry, stage))
                    else:
                        self._scene(entry, stage)
                self._join(beside)
            except BaseException:
                self.account.stopped.set()
                raise

    def _join(self, beside: list[Future[bool]]) -> None:
        while beside:
            beside.pop().result()

    def _scene(self, entry: Entry, stage: Stage) -> bool:
        return self._part(entry.number, entry.title, lambda scene: entry.play(scene, stage))

    def _part(self, number: int, title: str, act: Callable[[Scene], None]) -> bool:
        """Play one part; whether everything in it was as expected."""
        scene = Scene(number, title, self.timeline, self.account)
        if number:
            scene.begin()
        try:
            act(scene)
        except Stopped:
            return False
        except SceneFailed as failure:
            self.explain_failure(failure.expected, failure.seen, number)
            return False
        except (ApiError, httpx.HTTPError) as error:
            seen = f"{type(error).__name__}: {error}"
            self.account.note(Expectation(number, "the API answers", met=False, seen=seen))
            self.explain_failure("the API answers", seen, number)
            return False
        return True

    def explain_failure(self, expected: str, seen: str, scene: int = 0) -> None:
        """Say what was expected and what was seen, and show the ends of the logs: they are gone afterwards."""
        self.timeline.tell(scene, "failed", f"expected: {expected}", f"seen: {seen}")
        if self.stack is not None:
            self.timeline.page("Log of the stack, its end", self.stack.tail(), self.stack.tail())
        for log in sorted(self.troupe.data.glob("*.log")):
            said = log.read_text(errors="replace").splitlines()[-5:]
            if said and log.name != "up.log":
                self.timeline.page(f"Log of {log.stem}, its end", said, said)

    def clear(self) -> None:
        """End every process and see that none is left."""
        self.account.stopped.set()
        players = self.troupe.started[1:]
        for player in players:
            self.troupe.tell(player, signal.SIGTERM)
        for player in players:
            self.troupe.wait(player, LEAVE_S_MAX)
        if self.cast is not None:
            self.cast.human.close()
        for stack in self.troupe.started[:1]:
            self.troupe.tell(stack, signal.SIGINT)
            stopped = self.troupe.wait(stack, STOP_S_MAX)
            said = f"exit code {stack.returncode}"
            self.account.note(Expectation(0, "`bridge up` stops when told to", stopped, said))
        left = self.troupe.gone(GONE_S_MAX)
        self.account.note(Expectation(0, "no process is left", not left, "; ".join(left)))
        self.timeline.tell(0, "demo", "stops everything", f"left running: {'; '.join(left) or 'nothing'}")


def _verdict(timeline: Timeline, account: Account) -> int:
    failed = [
        f"scene {one.scene}: expected {one.what}; seen: {one.seen}"
        if one.scene
        else f"{one.what}: {one.seen}"
        for one in account.failed
    ]
    count = f"{len(account.met)} of {len(account.met) + len(failed)}"
    rows = [f"{count} expectations were met, in {timeline.elapsed_s:.1f} s", *failed]
    data = {"met": len(account.met), "failed": failed, "seconds": round(timeline.elapsed_s, 1)}
    timeline.page("Verdict", rows, data)
    return FAILED if failed else 0


def _own(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings for another bridge: this stack has its own servers and data."""
    return {
        name: value
        for name, value in environment.items()
        if name in KEPT_OF_OURS or not (name.startswith("BRIDGE_") or name in ("DATABASE_URL", "BROKER_URL"))
    }


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder of this play. One that we made is removed, with the stack's sockets, wherever they had to be."""
    if given is None:
        folder = Path(tempfile.mkdtemp(prefix="wakebridge-demo-"))
    else:
        folder = given.expanduser().absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty: the demo begins with data of its own")
    try:
        yield folder
    finally:
        shutil.rmtree(_run_dir(folder), ignore_errors=True)
        if given is None:
            shutil.rmtree(folder, ignore_errors=True)


def _run_dir(folder: Path) -> Path:
    """Where the stack in this folder has its sockets, and its runs their files."""
    return load_settings(data_dir=folder / "data").run_dir


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """TERM and HUP end the play as Ctrl-C does; afterwards everything is as before."""
    before = {number: signal.getsignal(number) for number in _ENDS}

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in _ENDS:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore() -> None:
    """From here on nothing interrupts: clearing up is bounded."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
