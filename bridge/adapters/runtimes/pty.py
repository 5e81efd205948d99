"""The runtime `pty`, on the host's side of the link: wrappers dial in, register, and are asked.

Rules of this file:

- One Unix socket in a directory of ours, mode 0600; the other end's uid must be ours, or that of agents where they are
  another user: then the socket is theirs to dial, and not to replace. Token and peer are checked before anything else
  is read.
- A line is one JSON object of at most 64 KiB. Whoever sends anything else is hung up on.
- A thread a connection reads and hands answers over; what asks the database runs elsewhere, so that an answer is
  never late because of it. Connections, requests in flight and events waiting are bounded.
- End of file means that the session is gone, at once. A newer registration of a session ends the older.
- Not answered means: not known. The wrapper remembers the key, so asking again types nothing twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, Final

import structlog

from bridge.adapters.runtimes.agent_user import AgentUser
from bridge.adapters.runtimes.pty_hello import Hello
from bridge.core.errors import BridgeError, Conflict, InvalidArgument, OurError, Unauthorized
from bridge.ports.hosts import Registered, Registrar
from bridge.ports.runtime import SessionRef

log = structlog.get_logger(__name__)

LINE_BYTES_MAX: Final = 65_536
CONNECTIONS_MAX: Final = 256
ASKED_MAX: Final = 16
EVENTS_WAITING_MAX: Final = 8
REGISTER_S: Final = 5.0
SEND_S: Final = 2
CLOSE_S: Final = 2.0
_PEER = struct.Struct("3i")

Message = dict[str, Any]


class LinkLost(OurError):
    """The wrapper hung up, or does not answer in time."""

    code = "LINK_LOST"

    def __init__(self, detail: str | None = None, *, sent: bool) -> None:
        super().__init__(detail, sent=sent)
        self.sent = sent


class Link:
    """One wrapper's connection."""

    def __init__(self, line: socket.socket) -> None:
        self._socket = line
        self._file = line.makefile("rb")
        self._lock = threading.Lock()
        self._answers: dict[int, Future[Message]] = {}
        self._asked = 0
        self._events = 0
        self.registered: Registered | None = None
        self.token = ""
        # Two timeouts that differ: reading waits for ever once registered, sending never does.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_S, 0))

    def peer(self) -> tuple[int, int]:
        """Who is at the other end, as the kernel says: its pid and uid."""
        raw = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        pid, uid, _ = _PEER.unpack(raw)
        return int(pid), int(uid)

    def patience(self, seconds: float) -> None:
        """How long reading waits for a line; 0 is for ever."""
        span = struct.pack("ll", int(seconds), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)

    def read(self) -> Message | None:
        """The next line, None at the end. Raises InvalidArgument for what is no line of ours."""
        try:
            raw = self._file.readline(LINE_BYTES_MAX + 1)
        except (OSError, ValueError):  # reset, out of patience, or closed by us
            return None
        if not raw.endswith(b"\n"):
            if len(raw) > LINE_BYTES_MAX:
                raise InvalidArgument("a line is longer than 64 KiB")
            return None
        try:
            message = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument("a line is no JSON") from error
        if not isinstance(message, dict):
            raise InvalidArgument("a line is no JSON object")
        return message

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one line. Raises LinkLost."""
        raw = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                self._socket.sendall(raw)
        except OSError as error:
            self.hang_up()  # half a line may have left: nothing more can follow it
            raise LinkLost("the terminal's wrapper hung up", sent=False) from error

    def ask(
        self, question: Mapping[str, Any], answer_s: float, sent: Callable[[], None] = lambda: None
    ) -> Message:
        """Ask, and wait for the answer. Raises LinkLost, which says whether the question left."""
        answer: Future[Message] = Future()
        with self._lock:
            if self._asked < 0 or len(self._answers) >= ASKED_MAX:
                raise LinkLost("the terminal's wrapper is not there", sent=False)
            self._asked += 1
            number = self._asked
            self._answers[number] = answer
        try:
            self.send({**question, "id": number})
            sent()
            return answer.result(answer_s)
        except FutureTimeout as error:
            raise LinkLost("the terminal's wrapper did not answer in time", sent=True) from error
        finally:
            with self._lock:
                self._answers.pop(number, None)

    def answer(self, message: Message) -> None:
        """An answer came in; one that nobody waits for any more is dropped."""
        number = message.get("id")
        with self._lock:
            answer = self._answers.get(number) if isinstance(number, int) else None
        if answer is not None and not answer.done():
            answer.set_result(message)

    def take_event(self) -> bool:
        """Room for one more event to be carried on; an event more or less changes nothing but the time."""
        with self._lock:
            if self._events >= EVENTS_WAITING_MAX:
                return False
            self._events += 1
            return True

    def event_done(self) -> None:
        """One event was carried on."""
        with self._lock:
            self._events -= 1

    def hang_up(self) -> None:
        """End the connection; whoever reads from it sees its end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of everything; who waits for an answer learns that none will come."""
        with self._lock:
            self._asked = -1
            waiting = list(self._answers.values())
        for answer in waiting:
            if not answer.done():
                answer.set_exception(LinkLost("the terminal's wrapper hung up", sent=True))
        self._file.close()
        self._socket.close()


class PtyServer:
    """The host's socket, and the sessions that are held through it."""

    def __init__(
        self,
        path: Path,
        registrar: Registrar,
        *,
        connections_max: int = CONNECTIONS_MAX,
        agents: AgentUser | None = None,
    ) -> None:
        self._path, self._registrar, self._agents = path, registrar, agents
        self._room = threading.Semaphore(connections_max)
        self._links: dict[tuple[str, str], Link] = {}
        self._open: dict[Link, threading.Thread] = {}
        self._lock = threading.Lock()
        self._events = ThreadPoolExecutor(4, thread_name_prefix="link-events")
        self._listener: socket.socket | None = None
        self._held: int | None = None
        self._closing = False

    def open(self) -> bool:
        """Listen; False while another process holds this host's socket."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path.with_suffix(".lock")  # ours already, when it could not be bound the time before
        lock = self._held or os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._held = lock
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        before = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        if self._agents is not None:
            self._agents.give(self._path)
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="link-accept", daemon=True).start()
        return True

    def close(self) -> None:
        """Listen no more and hang up on everybody; they dial again."""
        self._closing = True
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._lock:
            links = dict(self._open)
        for link in links:
            link.hang_up()
        for thread in links.values():
            thread.join(CLOSE_S)
        self._events.shutdown(wait=True, cancel_futures=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def link(self, session: SessionRef) -> Link | None:
        """The connection through which a session is held."""
        with self._lock:
            return self._links.get((session.workspace_id, session.session_id))

    def held(self) -> set[tuple[str, str]]:
        """Workspace and session of all that are held now."""
        with self._lock:
            return set(self._links)

    def check_tokens(self) -> None:
        """Hang up on whoever's token has expired or was revoked."""
        with self._lock:
            links = list(self._links.values())
        for link in links:
            if link.registered and not self._registrar.still_valid(link.token, link.registered):
                log.info("link.token_over", session_id=link.registered.session_id)
                link.hang_up()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                if self._closing:
                    return
                log.exception("link.accept_failed")
                time.sleep(0.1)  # out of descriptors: give others time to end
                continue
            if not self._room.acquire(blocking=False):
                line.close()
                continue
            threading.Thread(target=self._serve, args=(line,), name="link", daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        link = Link(line)
        with self._lock:
            self._open[link] = threading.current_thread()
        why = "its terminal hung up"
        try:
            self._register(link)
            while (message := link.read()) is not None:
                self._heard(link, message)
                if message.get("op") == "event" and message.get("event") == "exited":
                    why = f"its program ended with status {message.get('status')}"
                    break
        except BridgeError as error:
            self._refuse(link, error)
        except Exception:  # one wrapper's trouble must not end the thread without letting go of its session
            log.exception("link.failed")
        finally:
            self._let_go(link, why)
            with self._lock:
                del self._open[link]
            self._room.release()

    def _register(self, link: Link) -> None:
        peer, uid = link.peer()
        if uid != os.geteuid() and (self._agents is None or uid != self._agents.uid):
            raise Unauthorized("the wrapper runs as another user than this host's worker and its agents")
        link.patience(REGISTER_S)
        hello = Hello.of(link.read(), peer, uid)
        registered = self._registrar.register(
            hello.token, hello.session_id, hello.pid, hello.preset, hello.runtime, hello.agent_pid
        )
        link.registered, link.token = registered, hello.token
        key = (registered.workspace_id, registered.session_id)
        with self._lock:
            other = self._links.get(key)
            overtaken = (
                other is not None and other.registered is not None and other.registered.term > registered.term
            )
            if not overtaken:
                self._links[key] = link
        if overtaken:
            raise Conflict("it was registered anew meanwhile")
        if other is not None:
            other.hang_up()
        link.patience(0)
        link.send({"op": "registered", "agent_id": registered.agent_id, "seat_term": registered.term})
        log.info(
            "link.registered", agent_id=registered.agent_id, session_id=hello.session_id, term=registered.term
        )

    def _refuse(self, link: Link, error: BridgeError) -> None:
        log.info("link.refused", code=error.code, why=error.detail)
        with contextlib.suppress(LinkLost):
            link.send({"op": "refused", "code": error.code, "detail": error.detail})

    def _let_go(self, link: Link, why: str) -> None:
        registered = link.registered
        with self._lock:
            if registered is not None:
                key = (registered.workspace_id, registered.session_id)
                if self._links.get(key) is link:
                    del self._links[key]
        link.hang_up()
        link.close()
        if registered is not None and not self._closing:
            log.info("link.gone", session_id=registered.session_id, why=why)
            self._tell(lambda: self._registrar.gone(registered, why))

    def _heard(self, link: Link, message: Message) -> None:
        registered = link.registered
        match message.get("op"):
            case "status" | "result":
                link.answer(message)
            case "token" if registered is not None and isinstance(message.get("token"), str):
                if not self._registrar.still_valid(message["token"], registered):
                    raise Unauthorized("the new token is not for this session")
                link.token = message["token"]
            case "event" if registered is not None and link.take_event():
                event = str(message.get("event"))
                self._carry(link, lambda: self._registrar.became(registered, event))
            case "native" if registered is not None and link.take_event():
                native_id = str(message.get("native_id"))
                self._carry(link, lambda: self._registrar.named(registered, native_id))
            case "accepted" if registered is not None and link.take_event():
                key, by = str(message.get("key")), str(message.get("by"))
                self._carry(link, lambda: self._registrar.accepted(registered, key, by))
            case _:
                return  # later versions may say more

    def _carry(self, link: Link, tell: Callable[[], None]) -> None:
        def told() -> None:
            try:
                self._tell(tell)
            finally:
                link.event_done()

        self._events.submit(told)

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except BridgeError as error:  # reconciling finds what was not heard
            log.warning("link.not_heard", why=error.detail)
        except Exception:
            log.exception("link.not_heard")
