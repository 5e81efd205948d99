"""How three model APIs word a conversation: Responses (Codex), Messages (Claude Code), Gemini.

Rules of this file:

- Reading keeps what matters to a script: user and assistant texts, and what tools answered. What a program says to the
  model about its surroundings (`<environment_context>` and the like) is no user text.
- Writing gives the whole answer, and the same as the events of a stream: only those that the programs need.
- A shell command is one step in every dialect; each program's own tool runs it.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]
_numbers = itertools.count(1)
_SURROUNDINGS = re.compile(
    r"\s*(<(environment_context|user_instructions|system-reminder|permissions|skills_instructions|apps_instructions"
    r"|plugins_instructions|session_context|turn_aborted)\b|# AGENTS\.md|\[Request interrupted by user)",
    re.IGNORECASE,
)

_MEANWHILE = re.compile(
    r"The user sent a new message while you were working:\n(.*?)\n\nIMPORTANT: ", re.DOTALL
)
"""How Claude Code brings in what was typed in the middle of a turn."""


class Turn(NamedTuple):
    """One piece of a conversation: user, assistant, output (of a tool) or other."""

    kind: str
    text: str


class Question(NamedTuple):
    """What a program asks: the conversation so far, whether tools may be called, a form to be filled in."""

    turns: tuple[Turn, ...]
    tools: bool
    form: Json | None = None


@dataclass(frozen=True)
class Say:
    """The model says this, and the turn is over."""

    text: str


@dataclass(frozen=True)
class Shell:
    """The model has the program run this command."""

    command: str


@dataclass(frozen=True)
class Tool:
    """The model calls the tool of that name."""

    name: str
    arguments: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Fail:
    """The server answers with an error."""

    status: int
    text: str = "mock: refused"


Answer = Say | Shell | Tool | Fail


class Dialect(NamedTuple):
    """One API."""

    name: str
    path: re.Pattern[str]
    read: Callable[[Json], Question]
    write: Callable[[Answer, str], tuple[Json, list[Json]]]


def _user(text: str) -> Turn:
    return Turn("other" if _SURROUNDINGS.match(text) else "user", text)


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part if isinstance(part, str) else str(part.get("text", "")) for part in parts)


def _form(given: Json) -> Json | None:
    return given.get("schema") if given.get("type") == "json_schema" else None


def filled(form: Json) -> Json:
    """The form, filled in with something of each field's type."""
    return {
        name: {"number": 1, "integer": 1, "boolean": False}.get(str(field.get("type")), "mock")
        for name, field in form.get("properties", {}).items()
    }


# --- Responses --------------------------------------------------------------------------------------------


def _read_responses(body: Json) -> Question:
    said = body.get("input") or []
    turns = [Turn("user", said)] if isinstance(said, str) else [_responses_turn(item) for item in said]
    return Question(
        tuple(turns), bool(body.get("tools")), _form((body.get("text") or {}).get("format") or {})
    )


def _responses_turn(item: Json) -> Turn:
    kind = item.get("type", "message")
    if kind == "message":
        text = _plain(item.get("content"))
        if item.get("role") == "user":
            return _user(text)
        return Turn("assistant" if item.get("role") == "assistant" else "other", text)
    if kind.endswith("_call_output"):
        return Turn("output", _plain(item.get("output")))
    return Turn("other", json.dumps(item))


def _write_responses(answer: Answer, model: str) -> tuple[Json, list[Json]]:
    number = next(_numbers)
    item: Json
    if isinstance(answer, Say):
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": [part]}
    else:
        name, arguments = _call(answer, "exec_command", "cmd")
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name}
        item["arguments"] = json.dumps(arguments)
    item["status"] = "completed"
    begun: Json = {"id": f"resp_{number}", "object": "response", "model": model, "output": []}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    usage_details = {
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    whole = begun | {"status": "completed", "output": [item], "usage": usage | usage_details}
    return whole, [
        {"type": "response.created", "response": begun | {"status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]


# --- Messages ---------------------------------------------------------------------------------------------


def _read_messages(body: Json) -> Question:
    form = body.get("output_format") or (body.get("output_config") or {}).get("format") or {}
    turns = tuple(turn for message in body.get("messages", []) for turn in _messages_turns(message))
    return Question(turns, bool(body.get("tools")), _form(form))


def _messages_turns(message: Json) -> Iterator[Turn]:
    content = message.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        if part.get("type") == "tool_result":
            yield Turn("output", _plain(part.get("content")))
        elif part.get("type") == "text":
            yield _messages_text(str(message["role"]), part["text"])
        else:
            yield Turn("other", json.dumps(part))


def _messages_text(role: str, text: str) -> Turn:
    if role == "system" and (meanwhile := _MEANWHILE.match(text)):
        return Turn("user", meanwhile[1])
    return _user(text) if role == "user" else Turn("assistant" if role == "assistant" else "other", text)


def _write_messages(answer: Answer, model: str) -> tuple[Json, list[Json]]:
    number = next(_numbers)
    block: Json
    if isinstance(answer, Say):
        block, stop = {"type": "text", "text": answer.text}, "end_turn"
        empty, delta = block | {"text": ""}, {"type": "text_delta", "text": answer.text}
    else:
        name, arguments = _call(answer, "Bash", "command")
        if isinstance(answer, Shell):
            arguments["description"] = "asks the bridge"
        block, stop = (
            {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments},
            "tool_use",
        )
        empty, delta = (
            block | {"input": {}},
            {"type": "input_json_delta", "partial_json": json.dumps(arguments)},
        )
    usage = {"input_tokens": 10, "output_tokens": 5}
    cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    whole: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model}
    whole |= {"content": [block], "stop_reason": stop, "stop_sequence": None, "usage": usage | cache}
    return whole, [
        {"type": "message_start", "message": whole | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": usage | cache,
        },
        {"type": "message_stop"},
    ]


# --- Gemini -----------------------------------------------------------------------------------------------


def _read_gemini(body: Json) -> Question:
    turns = tuple(
        _gemini_turn(content, part)
        for content in body.get("contents", [])
        for part in content.get("parts", [])
    )
    config = body.get("generationConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return Question(turns, bool(body.get("tools")), schema)


def _gemini_turn(content: Json, part: Json) -> Turn:
    if "functionResponse" in part:
        return Turn("output", json.dumps(part["functionResponse"].get("response")))
    if "text" in part:
        return Turn("assistant", part["text"]) if content.get("role") == "model" else _user(part["text"])
    return Turn("other", json.dumps(part))


def _write_gemini(answer: Answer, model: str) -> tuple[Json, list[Json]]:
    del model
    part: Json
    if isinstance(answer, Say):
        part = {"text": answer.text}
    else:
        name, arguments = _call(answer, "run_shell_command", "command")
        part = {"functionCall": {"name": name, "args": arguments}}
    content = {"role": "model", "parts": [part]}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    candidates = [{"content": content, "finishReason": "STOP", "index": 0}]
    whole: Json = {"candidates": candidates, "usageMetadata": usage, "modelVersion": "mock"}
    return whole, [whole]


def _call(answer: Answer, shell: str, command: str) -> tuple[str, Json]:
    if isinstance(answer, Shell):
        return shell, {command: answer.command}
    assert isinstance(answer, Tool), answer
    return answer.name, dict(answer.arguments)


DIALECTS = (
    Dialect("responses", re.compile(r"/responses$"), _read_responses, _write_responses),
    Dialect("messages", re.compile(r"/messages$"), _read_messages, _write_messages),
    Dialect("gemini", re.compile(r"enerateContent$"), _read_gemini, _write_gemini),
)
