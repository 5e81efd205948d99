"""Twenty kinds of malformed posts, each with the one answer it must always get."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Kind:
    """One malformed body and its status."""

    name: str
    content: bytes
    status: int = 400
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def _said(**fields: object) -> bytes:
    return json.dumps({"body": "x"} | fields).encode()


KINDS = (
    Kind("no JSON", b"{"),
    Kind("no object", b"[1]"),
    Kind("empty", b""),
    Kind("wrong type", _said(body=1)),
    Kind("unknown field", _said(nonsense=1)),
    Kind("a key twice", b'{"body":"x","body":"y"}'),
    Kind("NaN", b'{"body":"x","last_read_seq":NaN}'),
    Kind("Infinity", b'{"body":"x","last_read_seq":-Infinity}'),
    Kind("a huge number", b'{"body":"x","last_read_seq":1' + b"0" * 10_000 + b"}"),
    Kind("an endless float", b'{"body":"x","last_read_seq":1e999}'),
    Kind("deep", b'{"body":"x","metadata":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001),
    Kind("NUL", b'{"body":"a\\u0000b"}'),
    Kind("half a pair", b'{"body":"\\ud800"}'),
    Kind("no UTF-8", b'{"body":"\xff"}'),
    Kind("another charset", _said(), 415, {"Content-Type": "application/json; charset=utf-16"}),
    Kind("another type", b"body=x", 415, {"Content-Type": "application/x-www-form-urlencoded"}),
    Kind("compressed", _said(), 415, JSON | {"Content-Encoding": "gzip"}),
    Kind("a long list", b'{"body":"x","to":[' + b"1," * 99_999 + b"1]}"),
    Kind("a long body", _said(body="x" * 70_000), 413),
    Kind("a large request", b'{"body":"' + b"x" * 300_000 + b'"}', 413),
)


def fire(client: httpx.Client, path: str, token: str, kind: Kind) -> tuple[int, str, str]:
    """Its status, code and detail."""
    headers = kind.headers | {"Authorization": f"Bearer {token}"}
    answer = client.post(path, content=kind.content, headers=headers)
    said = answer.json()
    return answer.status_code, said["code"], said["detail"]
