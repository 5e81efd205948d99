"""Findings, messages and threads as a summary and a prompt are given them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.core.states import FindingStatus, MessageKind, ThreadStatus
from bridge.core.summary import Decided, Finding, KeyMessage, ThreadFacts

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def message(seq: int, **other: Any) -> KeyMessage:  # noqa: ANN401  its fields
    """A chat message by alice, for all."""
    values: dict[str, Any] = {
        "seq": seq,
        "message_id": f"msg_{seq}",
        "kind": MessageKind.CHAT,
        "event_type": None,
        "sender_agent_id": "alice",
        "to": None,
        "to_role": None,
        "in_reply_to": None,
        "text": f"text {seq}",
        "by_human": False,
        "created_at": NOW + timedelta(seconds=seq),
    }
    return KeyMessage(**values | other)


def finding(number: int, status: FindingStatus = FindingStatus.OPEN, **other: Any) -> Finding:  # noqa: ANN401  its fields
    """A finding that was reported at that seq."""
    values: dict[str, Any] = {
        "finding_id": f"f-{number}",
        "status": status,
        "reports": 1,
        "opened_seq": number,
        "reported_by": "alice",
        "severity": "high",
        "file": "parser.py",
        "line": number,
        "text": f"finding {number}",
        "updated_at": NOW + timedelta(seconds=number),
    }
    return Finding(**values | other)


def decided(seq: int, text: str = "we do it") -> Decided:
    """A decision by alice."""
    return Decided(seq, "alice", text, NOW)


def facts(**other: Any) -> ThreadFacts:  # noqa: ANN401  its fields
    """What is known of an active thread."""
    values: dict[str, Any] = {
        "thread_id": "th_1",
        "title": "Review of the parser",
        "type": "workflow",
        "status": ThreadStatus.ACTIVE,
        "last_seq": 100,
        "from_seq": 1,
        "escalated": False,
        "stalled": False,
        "blocked_reason": None,
    }
    return ThreadFacts(**values | other)
