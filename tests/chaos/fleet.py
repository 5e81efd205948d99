"""A fleet of scripted agents in one process: each speaks the host link and HTTP, as `bridge run` and an agent would.

What they see goes into a ledger that is no part of the system: every line that was typed, every message read.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

RETRY_S = 0.1
LINE_MAX = 65536


class Api:
    """The few calls that a fleet needs, tried again until they are answered."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=5)

    def call(self, method: str, path: str, *, tries_s: float = 60.0, **kwargs: Any) -> Any:  # noqa: ANN401
        """The answer's JSON. A 503 or a broken connection is tried again, any other refusal raises."""
        ends = time.monotonic() + tries_s
        while True:
            try:
                answer = self._http.request(method, path, **kwargs)
            except httpx.TransportError:
                if time.monotonic() > ends:
                    raise
            else:
                if answer.status_code not in (503, 409) or time.monotonic() > ends:
                    if answer.is_error:
                        raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
                    return answer.json()
            time.sleep(RETRY_S)

    def try_once(self, method: str, path: str, **kwargs: Any) -> httpx.Response | None:  # noqa: ANN401
        """One try; None when nobody answered."""
        try:
            return self._http.request(method, path, **kwargs)
        except httpx.TransportError:
            return None

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


@dataclass
class Ledger:
    """What the outside saw. Thread-safe."""

    posted: dict[str, list[tuple[int, str]]] = field(
        default_factory=dict
    )  # thread -> (seq, body), acknowledged
    typed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (agent, wake) -> times typed
    typed_at: dict[tuple[str, str], float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note_posted(self, thread_id: str, seq: int, body: str) -> None:
        """The bridge said 2xx."""
        with self.lock:
            self.posted.setdefault(thread_id, []).append((seq, body))

    def note_typed(self, agent_id: str, key: str) -> None:
        """A line was typed into the agent's terminal."""
        with self.lock:
            self.typed[agent_id, key] += 1
            self.typed_at.setdefault((agent_id, key), time.monotonic())


class FleetAgent:
    """One agent: its terminal (the host link) and its program (reads the inbox when a line arrives)."""

    def __init__(
        self, agent_id: str, session_id: str, token: str, url: str, sock: Path, ledger: Ledger
    ) -> None:
        self.agent_id, self.session_id, self._token, self._sock = agent_id, session_id, token, sock
        self.api = Api(url, token)
        self.ledger = ledger
        self.mode = "reads"  # or "ignores" (takes every line, reads nothing), "silent" (does not show that it took it)
        self.human_idle_s: float | None = None
        self.attached = threading.Event()
        self._known: dict[str, str] = {}
        self._work: queue.Queue[str] = queue.Queue()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._terminal, name=f"{agent_id}-terminal", daemon=True),
            threading.Thread(target=self._program, name=f"{agent_id}-program", daemon=True),
        ]

    def start(self) -> None:
        """Dial, and go on until stopped."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Hang up."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self.api.close()

    # --- the terminal -------------------------------------------------------------------------------------

    def _terminal(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as link:
                    link.settimeout(2)
                    link.connect(str(self._sock))
                    self._serve(link)
            except OSError:
                self.attached.clear()
                self._stop.wait(RETRY_S)

    def _serve(self, link: socket.socket) -> None:
        hello = {
            "op": "register",
            "token": self._token,
            "session_id": self.session_id,
            "pid": os.getpid(),
            "preset": "line",
        }
        _send(link, hello)
        buffer = b""
        while not self._stop.is_set():
            try:
                got = link.recv(LINE_MAX)
            except TimeoutError:
                continue
            if not got:
                raise OSError("the host hung up")
            *lines, buffer = (buffer + got).split(b"\n")
            for line in lines:
                self._answer(link, json.loads(line))

    def _answer(self, link: socket.socket, asked: dict[str, Any]) -> None:
        if asked["op"] == "registered":
            self.attached.set()
        elif asked["op"] == "status":
            state = {
                "screen": "empty",
                "human_idle_s": self.human_idle_s,
                "stopped": False,
                "draining": False,
            }
            _send(link, {"op": "status", "id": asked["id"], **state})
        elif asked["op"] == "inject":
            result = self._inject(asked)
            _send(
                link,
                {"op": "result", "id": asked["id"], "key": asked["key"], "why": "", "ms": 0, "enters": 1}
                | result,
            )

    def _inject(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked["key"]
        if key not in self._known:
            if not asked.get("may_type", True):
                return {"result": "absent", "why": "the text is not there"}
            self._known[key] = "accepted"
            self.ledger.note_typed(self.agent_id, key)
            self._work.put(asked["text"])
        return {"result": "unverified" if self.mode == "silent" else "accepted"}

    # --- the program --------------------------------------------------------------------------------------

    def _program(self) -> None:
        while not self._stop.is_set():
            try:
                self._work.get(timeout=0.2)
            except queue.Empty:
                continue
            if self.mode == "reads":
                self._read_all()

    def _read_all(self) -> None:
        for item in self.api.call("GET", "/v1/inbox")["items"]:
            thread_id, last = item["thread_id"], item["last_seq"]
            self.api.call("GET", f"/v1/threads/{thread_id}/messages", params={"since_seq": max(0, last - 1)})
            self._ack(thread_id, last)

    def _ack(self, thread_id: str, last: int) -> None:
        """Say it until the bridge has heard it; 409: the cursor is there already."""
        while not self._stop.is_set():
            answer = self.api.try_once("PUT", f"/v1/threads/{thread_id}/cursor", json={"last_read_seq": last})
            if answer is not None and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return
            self._stop.wait(RETRY_S)


def _send(link: socket.socket, said: dict[str, Any]) -> None:
    link.sendall(json.dumps(said).encode() + b"\n")
