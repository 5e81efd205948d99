"""Cursors of lists: opaque to whoever gets them, bounded, and refused when they are none of ours."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime

from bridge.core.errors import InvalidArgument
from bridge.core.names import NAME_PATTERN, fits

Mark = tuple[datetime, str]
"""Where a page ended: the row's time and id."""


def to_cursor(mark: Mark | None) -> str | None:
    """The mark as `next_cursor`; None at the end of the list."""
    if mark is None:
        return None
    at, row_id = mark
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), row_id]).encode()).rstrip(b"=").decode()


def from_cursor(cursor: str | None) -> Mark | None:
    """The mark in a cursor. Raises InvalidArgument."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        at, row_id = json.loads(raw)
        mark = datetime.fromisoformat(at), row_id
        ours = mark[0].tzinfo is not None and fits(NAME_PATTERN, row_id)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise InvalidArgument("not a cursor of this list", path="cursor") from error
    if not ours:
        raise InvalidArgument("not a cursor of this list", path="cursor")
    return mark
