"""The scripted agent of the runs' chaos: hard to end on purpose, and it notes what it was from the outside's view.

Argv: `agent FOLDER SESSION RUN NATIVE` or `helper FOLDER RUN`. It runs in a bare interpreter; chance is its own.
"""

import fcntl
import http.client
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

WORK_S = (0.1, 3.0)
HELPER_S = 600
TRIES_S = 8.0
DEAF = 0.3
BARE = 0.3
PROVES_LATE = 0.3


def environment() -> dict[str, str]:
    """What this was started with."""
    pairs = Path("/proc/self/environ").read_text(encoding="utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def started() -> int:
    """This process's start, in clock ticks after boot."""
    return int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])


def note(folder: str, **facts: object) -> None:
    """One line in the log that all agents share, whole or not at all."""
    line = json.dumps(facts | {"pid": os.getpid(), "started": started()}) + "\n"
    fd = os.open(f"{folder}/agents.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def alone(folder: str, session: str) -> bool:
    """Whether no other agent of the session lives. The lock is this process's: no child has it, its end frees it."""
    fd = os.open(f"{folder}/{session}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def start_helper(folder: str, run: str, *, bare: bool) -> None:
    """A helper that is nobody's child, in a session of its own, with our stdout; `bare`: without our environment."""
    child = os.fork()
    if child == 0:
        argv = [sys.executable, "-I", "-S", __file__, "helper", folder, run]
        os.execve(argv[0], argv, {} if bare else environment())  # noqa: S606 - a program of our own
    os.waitpid(child, 0)


def helper(folder: str, run: str) -> None:
    """Leave our parent, hold stdout, hear no TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    if os.fork():
        os._exit(0)
    note(folder, what="helper", run=run, bare="BRIDGE_RUN_ID" not in environment())
    time.sleep(HELPER_S)


class Bridge:
    """The few calls of an agent, tried again while the bridge is not there."""

    def __init__(self, known: dict[str, str]) -> None:
        address = urlsplit(known["BRIDGE_URL"])
        self._host, self._port = address.hostname or "", address.port
        self._token = Path(known["BRIDGE_TOKEN_FILE"])

    def call(
        self, method: str, path: str, body: dict[str, str] | None = None
    ) -> dict[str, list[dict[str, str]]]:
        """The answer; exits with 3 when there is none in time."""
        deadline = time.monotonic() + TRIES_S
        while time.monotonic() < deadline:
            try:
                return self._once(method, path, body)
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.2)
        sys.exit(3)

    def _once(self, method: str, path: str, body: dict[str, str] | None) -> dict[str, list[dict[str, str]]]:
        link = http.client.HTTPConnection(self._host, self._port or 80, timeout=5)
        try:
            token = self._token.read_text(encoding="ascii").strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            link.request(method, path, None if body is None else json.dumps(body), headers)
            answer = link.getresponse()
            said = answer.read().decode()
            if answer.status >= http.client.MULTIPLE_CHOICES:
                message = f"{method} {path}: {answer.status} {said}"
                raise ValueError(message)
        finally:
            link.close()
        found: dict[str, list[dict[str, str]]] = json.loads(said)
        return found


def read_all(bridge: Bridge) -> None:
    """Read what is unread, and answer to the last of it."""
    for item in bridge.call("GET", "/v1/inbox")["items"]:
        since = int(item["last_read_seq"])
        path = f"/v1/threads/{item['thread_id']}/messages"
        messages = bridge.call("GET", f"{path}?since_seq={since}")["items"]
        if messages:
            answer = {"body": f"read by {os.getpid()}", "in_reply_to": messages[-1]["message_id"]}
            bridge.call("POST", path, answer)


def agent(folder: str, session: str, run: str, native: str) -> None:
    """Be an agent: a helper, some work, then read and answer."""
    chance = random.Random(run)
    deaf, late = chance.random() < DEAF, chance.random() < PROVES_LATE
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(folder, what="agent", session=session, run=run, deaf=deaf, alone=alone(folder, session))
    proof = json.dumps({"type": "session", "session_id": native})
    if not late:
        print(proof, flush=True)
    start_helper(folder, run, bare=chance.random() < BARE)
    time.sleep(chance.uniform(*WORK_S))
    if late:
        print(proof, flush=True)
    sys.stdin.read()
    read_all(Bridge(environment()))


if sys.argv[1] == "agent":
    agent(*sys.argv[2:])
else:
    helper(*sys.argv[2:])
