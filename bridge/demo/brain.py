"""What the scripted agents answer: pure rules, messages in, acts out.

Rules of this file:

- An agent at a terminal (`answer`) answers the last message that it read; none answers a program (`ci`).
- An agent that the bridge starts (`reply`) answers a question that stands last, whoever asks, and ends. What it knows
  of the time before stands in its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REVIEW = "Please review parser.py, and have what you find fixed."
DISPUTE = "Tabs or spaces? Please settle it with executor."
VERDICT = "Take spaces, and go on."
WHERE, TEXT = "parser.py:42", "fails on an empty line"
COMMIT = "3f2c1ab"
FINDING: Mapping[str, Any] = {
    "type": "finding_reported",
    "finding_id": "F-1",
    "severity": "high",
    "file": "parser.py",
    "line": 42,
    "text": TEXT,
}
RED_BUILD = "Build 513 is red: is the empty line fixed?"
OUTLOOK = "What is still open for 1.4, and what did we decide?"
BLOCKER: Mapping[str, Any] = {
    "type": "finding_reported",
    "finding_id": "F-7",
    "severity": "high",
    "file": "release.py",
    "line": 7,
    "text": "the changelog is not signed",
}
DECISION: Mapping[str, Any] = {"type": "decision", "text": "1.4 goes out on Friday"}
NEWS = "News {number} of {count}"
IS_ANYBODY_THERE = "News {number} of {count}: is anybody there?"
_ARGUMENT = {"reviewer": "Tabs, as everywhere else.", "executor": "Spaces, as the formatter says."}
_OTHER = {"reviewer": "executor", "executor": "reviewer"}

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """A message to post; `resolve`: then resolve the thread, for this reason."""

    body: str
    to: str
    event: Mapping[str, Any] | None = None
    resolve: str = ""


def answer(me: str, messages: Sequence[Message]) -> Act | None:
    """What `me` answers to what it has just read, the oldest first; None: nothing."""
    if not messages or me not in _OTHER:
        return None
    last = messages[-1]
    if last["kind"] == "event":
        return _answer_event(_OTHER[me], last["event"])
    if last["kind"] == "system":
        return _answer_operator(me, str(last["body"]))
    return Act(_ARGUMENT[me], _OTHER[me]) if last["sender_agent_id"] == _OTHER[me] else None


def _answer_event(other: str, event: Mapping[str, Any]) -> Act | None:
    if event["type"] == "finding_reported":
        fixed = {"type": "fix_pushed", "commit": COMMIT, "finding_ids": [event["finding_id"]]}
        return Act("Fixed: an empty line parses to nothing.", other, fixed)
    if event["type"] == "fix_pushed":
        verified = {"type": "finding_verified", "finding_id": event["finding_ids"][0]}
        return Act("Verified, thank you.", other, verified, resolve="the finding is fixed and verified")
    return None


def _answer_operator(me: str, words: str) -> Act | None:
    if words == REVIEW:
        return Act(TEXT, _OTHER[me], FINDING)
    if words == DISPUTE:
        return Act(_ARGUMENT[me], _OTHER[me])
    if VERDICT in words and me == "executor":
        return Act("Spaces it is.", _OTHER[me], {"type": "decision", "text": "spaces"})
    return None


_OPEN = re.compile(r"^Finding (\S+) in \S+: open", re.MULTILINE)
_DECIDED = re.compile(r"^Decision in \S+, seq \d+, by .*:\n> (.*)$", re.MULTILINE)


def reply(me: str, messages: Sequence[Message], prompt: str) -> str | None:
    """What a started agent says to the question at the end of what it has just read; None: there is none."""
    if not messages or messages[-1]["kind"] != "chat" or not str(messages[-1]["body"]).endswith("?"):
        return None
    if messages[-1]["body"] == RED_BUILD:
        return f"It is fixed with {COMMIT}: build 514 will be green."
    if messages[-1]["body"] == OUTLOOK:
        is_open, decided = ", ".join(_OPEN.findall(prompt)), "; ".join(_DECIDED.findall(prompt))
        return f"Open: {is_open or 'nothing'}. Decided: {decided or 'nothing'}."
    count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
    return f"{me} is here again, and has read {count} of this thread."
