"""A refusal (RFC 9457)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from web.errors import STATUS


class Place(BaseModel):
    """Where the input is wrong, and how."""

    path: str
    message: str


class Problem(BaseModel):
    """What went wrong; `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: Literal[*STATUS]  # type: ignore[valid-type]
    request_id: str
    errors: list[Place] | None = None
