"""A host with nothing but a RunBook: presets that start the scripted agent, a watcher that notes what it is told,
and looks through /proc for what lives of a test's runs. Everything waits for a condition, with a deadline.
"""

import base64
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bridge.adapters.runtimes.command import RunBook
from bridge.config import Settings
from bridge.core.errors import Unavailable
from bridge.core.states import Rung, SessionFound
from bridge.ports.runs import RunSpec

PROGRAMS = Path(__file__).resolve().parent / "programs"
AGENT = str(PROGRAMS / "agent.py")
DEADLINE_S = 20.0
GONE_S = 10.0

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Look again and again until there is something true to see."""
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.01)
    return found


def living(mark: str) -> dict[int, str]:
    """Processes with these words in their environment or command line that run; their command lines."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            command = (entry / "cmdline").read_bytes()
            told = command + (entry / "environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in told and state not in b"ZX":
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def toml(table: Mapping[str, Any], title: str = "") -> str:
    """Plain values and tables as TOML."""
    plain = [f"{key} = {_value(value)}\n" for key, value in table.items() if not isinstance(value, Mapping)]
    inner = [
        toml(value, f"{title}.{key}".strip(".")) for key, value in table.items() if isinstance(value, Mapping)
    ]
    return (f"[{title}]\n" if title else "") + "".join(plain) + "".join(inner)


def _value(value: object) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's, but for characters TOML wants escaped.
    return json.dumps(value).replace("\x7f", "\\u007f")


@dataclass
class Recorder:
    """Notes what it is told; refuses it `refusals` times first."""

    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    refusals: int = 0
    tried: int = 0
    slow_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def started(self, spec: RunSpec, *, boot_id: str, shim_pid: int, pid: int, pid_started: int) -> None:
        self._note(spec, "started", boot_id=boot_id, shim_pid=shim_pid, pid=pid, pid_started=pid_started)

    def proved(self, spec: RunSpec, native_id: str) -> None:
        self._note(spec, "proved", native_id=native_id)

    def ended(
        self,
        spec: RunSpec,
        *,
        status: int | None,
        result: str,
        why: str,
        found: SessionFound | None = None,
    ) -> None:
        said = {} if found is None else {"found": found}
        self._note(spec, "ended", status=status, result=result, why=why, **said)

    def _note(self, spec: RunSpec, event: str, **facts: object) -> None:
        with self.lock:
            self.tried += 1
            if self.refusals:
                self.refusals -= 1
                raise Unavailable("not now")
            self.told.append((spec.run_id, event, facts))

    def of(self, run_id: str) -> list[str]:
        """What was told of a run, in order."""
        with self.lock:
            return [event for found, event, _ in self.told if found == run_id]

    def facts(self, run_id: str, event: str) -> dict[str, Any] | None:
        """The facts of one event of a run, None while it was not told."""
        with self.lock:
            return next((facts for found, kind, facts in self.told if (found, kind) == (run_id, event)), None)


@dataclass
class Minter:
    """Gives a new token each time."""

    life_s: float = 900.0
    issued: list[tuple[str, str, str]] = field(default_factory=list)
    failures: int = 0

    def issue(self, workspace_id: str, agent_id: str, session_id: str) -> str:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no tokens just now")
        self.issued.append((workspace_id, agent_id, session_id))
        return token(self.life_s, len(self.issued))


def token(life_s: float, number: int = 0) -> str:
    """What looks like a JWT and says how long it lives."""
    claims = json.dumps({"iat": 1000, "exp": 1000 + life_s, "jti": str(number)}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"


class World:
    """One host."""

    def __init__(self, data_dir: Path, **book: Any) -> None:  # noqa: ANN401 - fields by name
        self.settings = Settings(data_dir=data_dir, run_dir=data_dir / "run", host_name="here", port=4321)
        self.settings.presets_dir.mkdir(parents=True)
        self.recorder, self.minter = Recorder(), Minter()
        self.options = book
        self._numbers = itertools.count(1)
        self._book: RunBook | None = None

    @property
    def book(self) -> RunBook:
        """Its runs."""
        if self._book is None:
            self._book = RunBook(self.settings, self.recorder, self.minter, **self.options)
        return self._book

    def close(self) -> None:
        """End everything, and see that it did."""
        if self._book is not None:
            self._book.close(0.2)
        until(
            lambda: not living(str(self.settings.run_dir)), f"the end: {living(str(self.settings.run_dir))}"
        )

    def preset(self, *part: str, name: str = "scripted", **more: Any) -> None:  # noqa: ANN401 - fields by name
        """A preset that starts the scripted agent in this part, on both rungs."""
        argv = ["{python}", "-I", "-S", AGENT, *part]
        table = {"name": name, "command": {"resume": argv, "spawn": argv, **more}}
        (self.settings.presets_dir / f"{name}.toml").write_text(toml(table))

    def spec(self, **fields: Any) -> RunSpec:  # noqa: ANN401 - fields by name
        """A run."""
        run_id = f"run_{self.settings.data_dir.name}_{next(self._numbers):03}"  # found in /proc by this
        given = {
            "run_id": run_id,
            "workspace_id": "ws",
            "agent_id": "executor",
            "session_id": run_id.replace("run_", "ses_"),
            "native_id": run_id,
            "rung": Rung.SPAWN,
            "preset": "scripted",
            "prompt": "you have unread messages",
            "token": token(900),
            "kill_after_s": 60.0,
            "kill_grace_s": 0.5,
            **fields,
        }
        return RunSpec(**given)

    def start(self, *part: str, preset: dict[str, Any] | None = None, **fields: Any) -> RunSpec:  # noqa: ANN401 - as above
        """Start the scripted agent in this part; its run's id is its tag."""
        self.preset(part[0], "{run_id}", *part[1:], **(preset or {}))
        spec = self.spec(**fields)
        self.book.start(spec)
        return spec

    def told(self, spec: RunSpec, event: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait until the watcher was told that."""
        return until(
            lambda: self.recorder.facts(spec.run_id, event),
            f"{event} of {spec.run_id}; told: {self.recorder.told}",
            deadline_s,
        )

    def ended(self, spec: RunSpec) -> tuple[int | None, str, str]:
        """How it ended; nothing of it lives by then."""
        facts = self.told(spec, "ended")
        assert living(spec.run_id) == {}
        return facts["status"], facts["result"], facts["why"]

    def output(self, spec: RunSpec) -> bytes:
        """What the agent wrote."""
        return (self.settings.run_dir / "runs" / spec.run_id / "output.log").read_bytes()
