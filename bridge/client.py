"""The Python client: what agents, the CLI, the demo and `bridge run` talk to the bridge with.

Rules of this file:

- A call that creates carries an idempotency key, so it is tried again safely when the connection breaks or the
  bridge answers 503: the same call twice is one message.
- Tokens come from a source that knows how to renew them; none is ever part of an error.
- Answers are the API's own JSON, as `api` says: plain dictionaries.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol, Self
from urllib.parse import quote

import httpx

from bridge.core.claims import unchecked_claims
from bridge.core.errors import BridgeError

TIMEOUT_S = 10.0
RETRY_FOR_S = 20.0
PAUSE_S_FIRST = 0.1
PAUSE_S_MAX = 2.0
REFRESH_SHARE = 0.5
"""A token is renewed when this share of its life is over."""


class ApiError(BridgeError):
    """The bridge refused the call."""

    def __init__(self, code: str, status: int, detail: str, request_id: str = "") -> None:
        super().__init__(detail, status=status, request_id=request_id)
        setattr(self, "code", code)  # noqa: B010  the server's own code, where the class has the tree's
        self.status = status


class TokenSource(Protocol):
    """Gives a token that is valid now."""

    def token(self) -> str:
        """The token to send."""
        ...


class FixedToken:
    """One token, as it was given."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """The token."""
        return self._token


class TokenFile:
    """A token in a file that somebody else keeps fresh: read again for each call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self) -> str:
        """What the file says now."""
        return self._path.read_text().strip()


class StackOperator:
    """The operator's token out of `stack.json`, which the stack's manager renews."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "stack.json"

    def token(self) -> str:
        """What stack.json says now."""
        return str(json.loads(self._path.read_text())["operator_token"])


class SessionToken:
    """A session's own token, renewed at half of its life."""

    def __init__(self, url: str, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._token, self._clock = url, token, clock
        self._lock = threading.Lock()
        self._renew_at = clock() + REFRESH_SHARE * _life_s(token)

    def token(self) -> str:
        """The token, renewed first when that is due and the bridge answers."""
        with self._lock:
            if self._clock() >= self._renew_at:
                self._renew()
            return self._token

    def _renew(self) -> None:
        try:
            with Client(self._url, FixedToken(self._token), retry_for_s=0.0) as client:
                self._token = str(client.refresh_token()["token"])
            self._renew_at = self._clock() + REFRESH_SHARE * _life_s(self._token)
        except (ApiError, httpx.HTTPError):
            self._renew_at = self._clock() + 5.0  # what we have is good for a while yet


def _life_s(token: str) -> float:
    """How long the token lives, as it says itself; the server checks that, we only plan by it."""
    try:
        claims = unchecked_claims(token)
        return float(claims["exp"]) - float(claims["iat"])
    except (KeyError, ValueError, TypeError):
        return 60.0


class Client:
    """A connection to one bridge as one agent. Raises ApiError for a refusal, httpx errors for no answer."""

    def __init__(
        self,
        url: str,
        source: TokenSource,
        *,
        retry_for_s: float = RETRY_FOR_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.url = url.rstrip("/")
        self._source, self._retry_for_s, self._timeout_s = source, retry_for_s, timeout_s
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def token(self) -> str:
        """A token that is valid now."""
        return self._source.token()

    # --- threads and messages -----------------------------------------------------------------------------

    def create_thread(
        self,
        title: str,
        participants: Sequence[Mapping[str, Any]],
        *,
        type: str = "workflow",  # noqa: A002  the field's name
        key: str | None = None,
    ) -> dict[str, Any]:
        """Create a thread; participants are `{agent_id, role?}`."""
        body = {"title": title, "type": type, "participants": list(participants)}
        return self.call("POST", "/v1/threads", json=body, key=key or token_hex(16))

    def thread(self, thread_id: str) -> dict[str, Any]:
        """Read a thread."""
        return self.call("GET", f"/v1/threads/{quote(thread_id, safe='')}")

    def set_status(
        self, thread_id: str, status: str, reason: str, *, expected: str | None = None
    ) -> dict[str, Any]:
        """Ask for a status; with `expected`, only if it is that now."""
        body = {"status": status, "reason": reason} | ({"expected": expected} if expected else {})
        return self.call("POST", f"/v1/threads/{quote(thread_id, safe='')}/status", json=body)

    def escalate(self, thread_id: str, reason: str, owner: str | None = None) -> dict[str, Any]:
        """Say that somebody has to decide: `owner`, or any operator."""
        body = {"reason": reason} | ({"owner_agent_id": owner} if owner else {})
        return self.call("PUT", f"/v1/threads/{quote(thread_id, safe='')}/escalation", json=body)

    def end_escalation(self, thread_id: str, reason: str) -> dict[str, Any]:
        """Say that it is decided."""
        path = f"/v1/threads/{quote(thread_id, safe='')}/escalation"
        return self.call("DELETE", path, params={"reason": reason})

    def post(self, thread_id: str, body: str, *, key: str | None = None, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        """Post a message; `fields` are the API's (to, to_role, kind, event, in_reply_to, last_read_seq, ...)."""
        said = {"schema_version": 1, "kind": "chat", "body": body}
        said |= {name: value for name, value in fields.items() if value is not None}
        return self.call("POST", f"/v1/threads/{thread_id}/messages", json=said, key=key or token_hex(16))

    def read(
        self, thread_id: str, *, since_seq: int = 0, limit: int = 50, wait_s: float = 0
    ) -> dict[str, Any]:
        """Read messages after `since_seq`; `wait_s` waits for news."""
        params = {"since_seq": since_seq, "limit": limit} | ({"wait_s": wait_s} if wait_s else {})
        return self.call("GET", f"/v1/threads/{thread_id}/messages", params=params, wait_s=wait_s)

    def receipts(self, thread_id: str, seq: int) -> dict[str, Any]:
        """How far a message came, per recipient."""
        return self.call("GET", f"/v1/threads/{thread_id}/messages/{seq}/receipts")

    def summary(self, thread_id: str, *, max_messages: int = 20) -> dict[str, Any]:
        """How a thread stands: findings, decisions, key messages."""
        return self.call("GET", f"/v1/threads/{thread_id}/summary", params={"max_messages": max_messages})

    def search(self, q: str, **filters: Any) -> dict[str, Any]:  # noqa: ANN401  thread, sender, kind, since, until, ...
        """Find messages by their words, the newest first."""
        return self.call("GET", "/v1/search", params={"q": q} | _given(filters))

    def move_cursor(self, thread_id: str, last_read_seq: int) -> dict[str, Any]:
        """Say that everything up to `last_read_seq` is read: the only ack."""
        return self.call("PUT", f"/v1/threads/{thread_id}/cursor", json={"last_read_seq": last_read_seq})

    def inbox(self, *, wait_s: float = 0) -> dict[str, Any]:
        """What is unread, by thread."""
        return self.call("GET", "/v1/inbox", params={"wait_s": wait_s} if wait_s else {}, wait_s=wait_s)

    # --- sessions, wakes, operators --------------------------------------------------------------------------

    def heartbeat(self, session_id: str, *, runtime: str, resumable: bool, status: str) -> dict[str, Any]:
        """Say that the session lives, and how it is."""
        body = {"runtime": runtime, "resumable": resumable, "status": status}
        return self.call("PUT", f"/v1/sessions/{session_id}", json=body)

    def hold(self, session_id: str, for_s: float | None, reason: str | None = None) -> dict[str, Any]:
        """Leave the session alone for so many seconds; None: as long as is allowed; 0: give it back."""
        body = {"for_s": for_s} | ({"reason": reason} if reason else {})
        return self.call("PUT", f"/v1/sessions/{quote(session_id, safe='')}/hold", json=body)

    def trigger(self, thread_id: str, target_agent_id: str, reason: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        """Wake a participant by hand."""
        body = {"target_agent_id": target_agent_id, "reason": reason} | fields
        return self.call("POST", f"/v1/threads/{thread_id}/wakes", json=body, key=token_hex(16))

    def wakes(self, **filters: Any) -> dict[str, Any]:  # noqa: ANN401  state, agent, thread, limit, cursor
        """List wakes, the newest first."""
        return self.call("GET", "/v1/wakes", params=_given(filters))

    def wake(self, wake_id: str) -> dict[str, Any]:
        """One wake."""
        return self.call("GET", f"/v1/wakes/{wake_id}")

    def explain(self, wake_id: str) -> dict[str, Any]:
        """A wake's whole story."""
        return self.call("GET", f"/v1/wakes/{wake_id}/explain")

    def act_on_wake(self, wake_id: str, act: str, reason: str = "") -> dict[str, Any]:
        """`ack`, `cancel`, `force` or `retry` a wake."""
        return self.call("POST", f"/v1/wakes/{wake_id}/{act}", json={"reason": reason} if reason else {})

    def runs(self, **filters: Any) -> dict[str, Any]:  # noqa: ANN401  state, agent, host, wake, limit, cursor
        """List the processes that the bridge started, the newest first."""
        return self.call("GET", "/v1/runs", params=_given(filters))

    def run(self, run_id: str) -> dict[str, Any]:
        """One run."""
        return self.call("GET", f"/v1/runs/{run_id}")

    def kill_run(self, run_id: str, reason: str) -> dict[str, Any]:
        """Ask a run to end."""
        return self.call("POST", f"/v1/runs/{run_id}/kill", json={"reason": reason})

    def notices(self, **filters: Any) -> dict[str, Any]:  # noqa: ANN401
        """What operators, or the caller, were told."""
        return self.call("GET", "/v1/notices", params=filters)

    def agents(self) -> dict[str, Any]:
        """The workspace's agents."""
        return self.call("GET", "/v1/agents")

    def pauses(self, **filters: Any) -> dict[str, Any]:  # noqa: ANN401  limit, cursor
        """What is paused."""
        return self.call("GET", "/v1/pause", params=filters)

    def pause(self, scope: str, reason: str) -> dict[str, Any]:
        """Pause waking in a scope."""
        return self.call("POST", "/v1/pause", json={"scope": scope, "reason": reason})

    def resume(self, scope: str, reason: str) -> dict[str, Any]:
        """End a pause."""
        return self.call("POST", "/v1/resume", json={"scope": scope, "reason": reason})

    def policy(self, scope: str = "workspace") -> dict[str, Any]:
        """A scope's policy: every number in force, and where it comes from."""
        return self.call("GET", f"/v1/policies/{quote(scope, safe='')}")

    def set_policy(
        self,
        numbers: Mapping[str, Any],
        reason: str,
        *,
        scope: str = "workspace",
        **more: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Change numbers of a scope; `more`: expected_version, replace."""
        body = {"policy": dict(numbers), "reason": reason}
        body |= {name: value for name, value in more.items() if value is not None}
        return self.call("PUT", f"/v1/policies/{quote(scope, safe='')}", json=body, key=token_hex(16))

    def policy_history(self, scope: str = "workspace", **filters: Any) -> dict[str, Any]:  # noqa: ANN401  limit, cursor
        """A scope's versions, the newest first."""
        return self.call("GET", f"/v1/policies/{quote(scope, safe='')}/history", params=_given(filters))

    def audit(self, **filters: Any) -> dict[str, Any]:  # noqa: ANN401  resource_type, actor, event, limit, cursor, ...
        """What was done, the newest first."""
        return self.call("GET", "/v1/audit", params=_given(filters))

    def verify_audit(self, *, cursor: str | None = None) -> dict[str, Any]:
        """Prove the next part of the audit."""
        return self.call("GET", "/v1/audit/verify", params=_given({"cursor": cursor}))

    def audit_heads(self, *, cursor: str | None = None) -> dict[str, Any]:
        """The heads of all chains and the anchors, to keep elsewhere."""
        return self.call("GET", "/v1/audit/heads", params=_given({"limit": 200, "cursor": cursor}))

    def check_marks(self, marks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Which of these marks today's chains do not have."""
        return self.call("POST", "/v1/audit/verify", json={"marks": list(marks)})

    def redact(self, thread_id: str, seq: int, reason: str) -> dict[str, Any]:
        """Take away what a message says."""
        body = {"reason": reason}
        return self.call("POST", f"/v1/threads/{quote(thread_id, safe='')}/messages/{seq}/redact", json=body)

    def issue_token(self, agent_id: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  role, session_id, ...
        """A token for another agent; operators only."""
        body = {"agent_id": agent_id} | {name: value for name, value in fields.items() if value is not None}
        return self.call("POST", "/v1/tokens", json=body)

    def refresh_token(self) -> dict[str, Any]:
        """A newer token for the same session."""
        return self.call("POST", "/v1/tokens/refresh", json={})

    # --- the one call ----------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,  # noqa: ANN401  the request's JSON
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        wait_s: float = 0,
    ) -> dict[str, Any]:
        """One call, tried again while nobody answers or the bridge says 503. Raises ApiError, httpx errors."""
        ends = time.monotonic() + self._retry_for_s
        pause_s = PAUSE_S_FIRST
        safe = method in ("GET", "PUT", "DELETE") or key is not None
        while True:
            try:
                answer = self._send(method, path, json, params, key, wait_s)
            except httpx.TransportError:
                if not safe or time.monotonic() + pause_s > ends:
                    raise
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() + pause_s > ends:
                    return _told(answer)
                pause_s = max(pause_s, min(PAUSE_S_MAX, _seconds(answer.headers.get("Retry-After"))))
            time.sleep(pause_s)
            pause_s = min(PAUSE_S_MAX, pause_s * 2)

    def _send(
        self,
        method: str,
        path: str,
        json: Any,  # noqa: ANN401  the request's JSON
        params: Mapping[str, Any] | None,
        key: str | None,
        wait_s: float,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._source.token()}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        timeout = self._timeout_s + wait_s
        return self._http.request(method, path, json=json, params=params, headers=headers, timeout=timeout)


def _given(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _told(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json() if answer.content else {}
    except ValueError:
        body = {}
    if answer.is_success and isinstance(body, dict):
        return body
    problem = body if isinstance(body, dict) else {}
    raise ApiError(
        str(problem.get("code", "UNAVAILABLE")),
        answer.status_code,
        str(problem.get("detail") or problem.get("title") or f"the bridge answered {answer.status_code}"),
        str(problem.get("request_id", "")),
    )


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
