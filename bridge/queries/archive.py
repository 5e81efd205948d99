"""Closed threads that are old enough to be archived, their rows, and whether an archive gives these rows again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from bridge.core.caller import Caller
from bridge.core.errors import Conflict, NotFound
from bridge.core.retention import Line, kept_because
from bridge.db.archive import closed_threads, rows_of, standing, unlike
from bridge.db.deps import Deps
from bridge.db.revisions import database_head

PAGE = 500


def closed_before(deps: Deps, caller: Caller, age_s: float) -> tuple[datetime, datetime]:
    """What time it is, and before when a thread changed last that is so old."""
    with deps.unit(caller.workspace_id, caller) as uow:
        now = uow.now()
    return now, now - timedelta(seconds=age_s)


def old_threads(deps: Deps, caller: Caller, before: datetime) -> Iterator[tuple[str, str | None]]:
    """Closed threads without a change since `before`, by birth, and why one stays nevertheless."""
    after: tuple[datetime, str] | None = None
    while True:
        with deps.unit(caller.workspace_id, caller) as uow:
            page = closed_threads(uow, before, after, PAGE)
        for _, thread_id in page:
            with deps.unit(caller.workspace_id, caller) as uow:
                try:
                    found = standing(uow, thread_id)
                except NotFound:
                    continue
            yield thread_id, kept_because(found.standing, before)
        if len(page) < PAGE:
            return
        after = page[-1]


def thread_rows(deps: Deps, caller: Caller, thread_id: str) -> Iterator[Line]:
    """All rows of the thread, as an archive has them."""
    with deps.unit(caller.workspace_id, caller) as uow:
        yield from rows_of(uow, thread_id)


def check_rows(deps: Deps, caller: Caller, thread_id: str, lines: Iterable[Line]) -> None:
    """Raise Conflict unless these lines give the same rows again, and the messages in them their chain."""
    with deps.unit(caller.workspace_id, caller) as uow:
        wrong = next(unlike(uow, lines), None)
    if wrong is not None:
        raise Conflict(f"the archive does not give {thread_id} back as it is: {wrong}", thread_id=thread_id)


def revision(deps: Deps) -> str:
    """The revision that the database is at."""
    with deps.db.plain() as connection:
        return database_head(connection)
