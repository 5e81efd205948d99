"""A model server that plays a script, for real agent programs: on loopback, no key, no network.

Rules of this file:

- It keeps nothing of a conversation. The newest user text chooses the rule, the number of tool answers after it the
  step: a program that resumed, was started again, or runs beside another needs nothing more.
- Every question is kept, with what the program sent as the conversation so far: that is the proof of a resume.
- A question without tools, or for a form to be filled in (a title for the conversation), is no turn of the agent. It
  gets an answer that does nothing, and is marked.
- How each API words turns and answers is `dialects`' business.
"""

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.agents.dialects import DIALECTS, Answer, Dialect, Fail, Question, Say, Shell, Turn, filled

Script = Callable[[Sequence[Turn]], Answer]
"""A step that depends on what was said so far."""


@dataclass(frozen=True)
class Asked:
    """One question of a program, and what it was answered."""

    dialect: str
    turns: tuple[Turn, ...]
    answer: Answer
    aside: bool

    @property
    def newest(self) -> str:
        """The newest user text."""
        return next((turn.text for turn in reversed(self.turns) if turn.kind == "user"), "")

    def said(self, kind: str) -> list[str]:
        """All texts of a kind in the conversation so far: user, assistant, output."""
        return [turn.text for turn in self.turns if turn.kind == kind]


@dataclass(frozen=True)
class Rule:
    """What is answered to user texts that match: step by step, the last one again and again."""

    match: re.Pattern[str]
    steps: tuple[Answer | Script, ...]
    delay_s: float = 0.0


@dataclass
class _Shared:
    rules: list[Rule] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class MockModel:
    """The server, on 127.0.0.1 of the network of the thread that makes it."""

    def __init__(self, port: int = 0) -> None:
        """Listen. Port 0 is any free one."""
        self._shared = _Shared()
        shared = self._shared

        class Bound(_Handler):
            common = shared

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Bound)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="mock-model", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def rule(self, match: str, *steps: Answer | Script, delay_s: float = 0.0) -> None:
        """From now on, user texts that match are answered so; the newest rule is asked first."""
        with self._shared.lock:
            self._shared.rules.insert(0, Rule(re.compile(match, re.DOTALL), steps, delay_s))

    def forget(self) -> None:
        """No rule and no question any more."""
        with self._shared.lock:
            self._shared.rules.clear()
            self._shared.asked.clear()

    def asked(self, match: str = "", *, asides: bool = False) -> list[Asked]:
        """The questions so far whose newest user text matches, the oldest first."""
        with self._shared.lock:
            found = list(self._shared.asked)
        return [one for one in found if (asides or not one.aside) and re.search(match, one.newest, re.DOTALL)]


def decide(rules: Sequence[Rule], question: Question) -> tuple[Answer, float]:
    """What to answer, and how many seconds to take for it."""
    turns = question.turns
    if question.form is not None:
        return Say(json.dumps(filled(question.form))), 0.0
    at = max((number for number, turn in enumerate(turns) if turn.kind == "user"), default=-1)
    newest = turns[at].text if at >= 0 else ""
    outputs = sum(turn.kind == "output" for turn in turns[at + 1 :])
    users = sum(turn.kind == "user" for turn in turns)
    for rule in rules if question.tools else ():
        if rule.match.search(newest):
            step = rule.steps[min(outputs, len(rule.steps) - 1)]
            return step(turns) if callable(step) else step, rule.delay_s
    return Say(f"mock: heard {newest[-200:]}; {users} user turns"), 0.0


class _Handler(BaseHTTPRequestHandler):
    common: _Shared
    protocol_version = "HTTP/1.1"
    server_version = "mock-model"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's signature
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer whoever looks whether somebody is here."""
        self._send(200, {})

    def do_GET(self) -> None:
        """List one model; nothing else can be fetched."""
        if self.path.partition("?")[0].endswith("/models"):
            self._send(200, {"object": "list", "models": [], "data": [{"id": "mock", "object": "model"}]})
        else:
            self._send(404, {"error": {"message": "nothing here"}})

    def do_POST(self) -> None:
        """Answer a question, in the asker's dialect."""
        path = self.path.partition("?")[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if path.endswith(("/count_tokens", ":countTokens")):
            self._send(200, {"input_tokens": 10, "totalTokens": 10})
            return
        dialect = next((one for one in DIALECTS if one.path.search(path)), None)
        if dialect is None:
            self._send(404, {"error": {"message": "nothing here"}})
            return
        self._answer(dialect, body, path)

    def _answer(self, dialect: Dialect, body: dict[str, Any], path: str) -> None:
        question = dialect.read(body)
        with self.common.lock:
            rules = list(self.common.rules)
        answer, delay_s = decide(rules, question)  # outside the lock: a script may wait for the test
        aside = question.form is not None or not question.tools
        with self.common.lock:
            self.common.asked.append(Asked(dialect.name, question.turns, answer, aside))
        _until(delay_s)
        if isinstance(answer, Fail):
            self._send(
                answer.status, {"type": "error", "error": {"type": "api_error", "message": answer.text}}
            )
            return
        whole, events = dialect.write(answer, str(body.get("model")))
        if not (body.get("stream") or "stream" in path):
            self._send(200, whole)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())

    def _send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _until(seconds: float) -> None:
    if seconds:
        threading.Event().wait(seconds)


__all__ = ["Asked", "Fail", "MockModel", "Rule", "Say", "Shell", "Turn", "decide"]
