"""`bridge pause` and `bridge resume`: hold waking back in a scope, let it go on, see what is paused.

With `--direct` they go straight to the database: web, broker and beats may be dead.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import ago, columns, why
from bridge.core.errors import InvalidArgument
from bridge.core.names import PAUSE_SCOPE_PATTERN, fits

SCOPES = "all, workspace, host:NAME, runtime:NAME, agent:ID or thread:ID"
LIST_MAX = 200
Scope = Annotated[str | None, typer.Argument(help=f"{SCOPES}; not given: all.")]
Direct = Annotated[
    bool,
    typer.Option("--direct", help="Straight to the database, with web, broker and beats dead."),
]
Workspace = Annotated[str, typer.Option(help="Which workspace; with --direct only.")]


def pause(
    scope: Scope = None,
    reason: Annotated[
        str | None, typer.Option(help="Why. Neither scope nor reason: show what is paused.")
    ] = None,
    direct: Direct = False,
    workspace: Workspace = "default",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Pause the waking: nothing is lost, wakes wait and say why."""
    if scope is None and reason is None:
        page = _list_directly(data, workspace) if direct else _list(data, url, token_file)
        show(page, as_json=as_json, text="\n".join(_lines(page)))
        return
    wanted, said = _asked(scope, reason)
    if direct:
        _act_directly(data, workspace, wanted, said, paused=True)
        answer = {"scope": wanted, "paused": True, "reason": said}
    else:
        with connect(data, url, token_file) as client:
            answer = client.pause(wanted, said)
    show(answer, as_json=as_json, text=f"paused: {wanted} (to end it: bridge resume {wanted} --reason ...)")


def resume(
    reason: Annotated[str, typer.Option(help="Why.")],
    scope: Scope = None,
    direct: Direct = False,
    workspace: Workspace = "default",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """End a pause."""
    wanted, said = _asked(scope, reason)
    if direct:
        _act_directly(data, workspace, wanted, said, paused=False)
        answer = {"scope": wanted, "paused": False, "reason": said}
    else:
        with connect(data, url, token_file) as client:
            answer = client.resume(wanted, said)
    show(answer, as_json=as_json, text=f"resumed: {wanted}")


def _asked(scope: str | None, reason: str | None) -> tuple[str, str]:
    wanted, said = scope or "all", (reason or "").strip()
    if not said:
        print("bridge: give --reason (or neither scope nor reason, to see what is paused)", file=sys.stderr)
        raise typer.Exit(2)
    if not fits(PAUSE_SCOPE_PATTERN, wanted):
        raise InvalidArgument(f"{wanted!r} is no scope: {SCOPES}", path="scope")
    return wanted, said


def _list(data: Path | None, url: str | None, token_file: Path | None) -> dict[str, Any]:
    with connect(data, url, token_file) as client:
        return client.pauses(limit=LIST_MAX)


def _lines(page: dict[str, Any]) -> list[str]:
    if not page["items"]:
        return ["nothing is paused"]
    rows = [
        (one["scope"], ago(one["created_at"], page["now"]), one["by"], one["reason"]) for one in page["items"]
    ]
    lines = columns(("PAUSED", "SINCE", "BY", "WHY"), [(*row[:3], why(row[3])) for row in rows])
    if page["next_cursor"]:
        lines.append("... and more")
    return [*lines, f"{page['waiting']} wakes wait for that"]


# --- straight to the database: what it takes is imported then, and not for the way over HTTP ---------------------


def _act_directly(data: Path | None, workspace: str, scope: str, reason: str, *, paused: bool) -> None:
    from bridge.cli.direct import at_the_console
    from bridge.commands.pause_scope import pause_scope
    from bridge.commands.resume_scope import resume_scope

    with at_the_console(data, workspace) as (container, caller):
        (pause_scope if paused else resume_scope)(container.deps, caller, scope, reason)


def _list_directly(data: Path | None, workspace: str) -> dict[str, Any]:
    from bridge.cli.direct import at_the_console
    from bridge.queries.pauses import list_pauses

    with at_the_console(data, workspace) as (container, caller):
        page = list_pauses(container.deps, caller, limit=LIST_MAX)
    items = [
        {"scope": one.scope, "reason": one.reason, "by": one.by, "created_at": _rfc3339(one.created_at)}
        for one in page.items
    ]
    more = "" if page.mark else None
    return {"items": items, "next_cursor": more, "waiting": page.waiting, "now": _rfc3339(page.now)}


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
