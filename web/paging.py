"""Cursors of lists: opaque to whoever gets them, bounded, and refused when they are none of ours."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bridge.core.errors import InvalidArgument
from bridge.core.names import KEY_PATTERN, NAME_PATTERN, fits

Mark = tuple[datetime, str]
"""Where a page ended: the row's time and id."""
N_MAX = 2**63 - 1


def to_cursor(mark: Mark | None) -> str | None:
    """The mark as `next_cursor`; None at the end of the list."""
    return None if mark is None else pack([mark[0].isoformat(), mark[1]])


def from_cursor(cursor: str | None) -> Mark | None:
    """The mark in a cursor. Raises InvalidArgument."""
    if cursor is None:
        return None
    at, row_id = unpack(cursor, str, str)
    if not fits(NAME_PATTERN, row_id):
        raise _refused()
    return moment(at), row_id


def pack(place: Sequence[str | int]) -> str:
    """A place in a list as its cursor."""
    return base64.urlsafe_b64encode(json.dumps(list(place)).encode()).rstrip(b"=").decode()


def unpack(cursor: str, *form: type[str | int]) -> list[Any]:
    """The place in a cursor: so many values, of these types. Raises InvalidArgument."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _refused() from error
    if not isinstance(place, list) or [type(value) for value in place] != list(form):
        raise _refused()
    if not all(_fits(value) for value in place):
        raise _refused()
    return place


def moment(text: str) -> datetime:
    """The time in a cursor. Raises InvalidArgument."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused() from error
    if found.tzinfo is None:
        raise _refused()
    return found


def _fits(value: str | int) -> bool:
    if isinstance(value, int):
        return 0 <= value <= N_MAX
    return not value or fits(KEY_PATTERN, value)


def _refused() -> InvalidArgument:
    return InvalidArgument("not a cursor of this list", path="cursor")
