"""Which statements reach the database: how a test shows that work is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from bridge.db.deps import Deps


@contextmanager
def statements_of(deps: Deps) -> Iterator[list[str]]:
    """The statements that run meanwhile over these connections, in order."""
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:  # noqa: ANN401  the event's own
        said.append(statement)

    event.listen(deps.db.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(deps.db.engine, "before_cursor_execute", note)
