"""`bridge audit`: who did what; whether all that happened is still there; and what to keep elsewhere to prove it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import clock, columns, why
from bridge.core.errors import InvalidArgument, NotFound

EXPORT = "wakebridge audit"
LINE_CHARS_MAX = 2_000
MARKS_MAX = 200
PROBLEMS_SHOWN_MAX = 1_000
PAGES_MAX = 10_000_000
app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_audit(
    resource_type: Annotated[
        str | None, typer.Option(help="thread, wake, agent, session, run, policy, ...")
    ] = None,
    resource_id: Annotated[str | None, typer.Option(help="Only of this resource.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this agent did.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event, as thread.blocked.")] = None,
    request_id: Annotated[str | None, typer.Option(help="Only what this request did.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on, as 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """List what was done, the newest first."""
    wanted = {"resource_type": resource_type, "resource_id": resource_id, "actor": actor, "event": event}
    wanted |= {"request_id": request_id, "since": since, "until": until, "cursor": cursor}
    with connect(data, url, token_file) as client:
        page = client.audit(**wanted, limit=limit)
    rows = [_row(item) for item in page["items"]]
    lines = columns(("WHEN", "WHO", "WHAT", "ON", "BEFORE -> AFTER"), rows)
    if page["next_cursor"]:
        lines.append(f"... and older ones: --cursor {page['next_cursor']}")
    show(page, as_json=as_json, text="\n".join(lines) if rows else "nothing")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    before, after = (json.dumps(item[name], ensure_ascii=False) for name in ("before", "after"))
    on = f"{item['resource_type']} {item['resource_id']} #{item['n']}"
    said = after if before == "{}" else f"{before} -> {after}"
    return clock(item["at"]), why(item["actor"]), item["event"], on, why(said)


@app.command()
def verify(
    against: Annotated[
        Path | None, typer.Option(help="Also whether all that this export names is still there.")
    ] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing was removed, changed or reordered; says which if it was, and exits with 1."""
    checked: Counter[str] = Counter()
    problems: list[dict[str, Any]] = []
    with connect(data, url, token_file) as client:
        for page in _pages(client.verify_audit):
            checked[page["part"]] += page["checked"]
            problems += page["items"][: PROBLEMS_SHOWN_MAX - len(problems)]
            _progress(checked, len(problems))
        if against is not None:
            for marks in _batches(_marks(against)):
                answer = client.check_marks(marks)
                checked["exported"] += answer["checked"]
                problems += answer["items"][: PROBLEMS_SHOWN_MAX - len(problems)]
                _progress(checked, len(problems))
    _progress_ends()
    counted = ", ".join(f"{count} {part}" for part, count in checked.items())
    lines = [
        f"{one['resource_type']} {one['resource_id']} #{one['n']}: {why(one['what'])}" for one in problems
    ]
    lines.append(f"NOT as it was written: {len(problems)} problems" if problems else f"verified: {counted}")
    answer = {"verified": not problems, "checked": dict(checked), "items": problems}
    show(answer, as_json=as_json, text="\n".join(lines))
    if problems:
        raise typer.Exit(1)


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="The file; not given: standard output.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Write the head of every chain and all anchors as JSON lines: keep them where the bridge's owner cannot write."""
    with connect(data, url, token_file) as client:
        pages = _pages(client.audit_heads)
        if out is None:
            _write(pages, sys.stdout)
            return
        try:
            with out.open("x", encoding="utf-8") as file:
                written = _write(pages, file)
        except FileExistsError as error:
            raise InvalidArgument(
                f"{out} is there already: an export is never written over", path="out"
            ) from error
    show({"file": str(out), "marks": written}, as_json=as_json, text=f"{written} marks in {out}")


def _write(pages: Iterator[dict[str, Any]], file: TextIO) -> int:
    written = 0
    for page in pages:
        if not written:
            head = {"export": EXPORT, "workspace_id": page["workspace_id"], "at": page["now"]}
            file.write(json.dumps(head) + "\n")
        file.writelines(json.dumps(mark) + "\n" for mark in page["items"])
        written += len(page["items"])
    return written


def _pages(call: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  a client's method that takes a cursor
    cursor = None
    for _ in range(PAGES_MAX):
        page = call(cursor=cursor)
        yield page
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _marks(path: Path) -> Iterator[dict[str, Any]]:
    """The marks of an export. Raises NotFound, InvalidArgument."""
    none = InvalidArgument(f"{path} is no export of `bridge audit export`", path="against")
    try:
        with path.open(encoding="utf-8") as lines:
            head = json.loads(lines.readline(LINE_CHARS_MAX) or "{}")
            if not isinstance(head, dict) or head.get("export") != EXPORT:
                raise none
            yield from (json.loads(line) for line in iter(lambda: lines.readline(LINE_CHARS_MAX), ""))
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise none from error


def _batches(marks: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(marks, MARKS_MAX)):
        yield batch


def _progress(checked: Counter[str], problems: int) -> None:
    """How far it is, for a person who waits; nothing in a pipe."""
    if sys.stderr.isatty():
        told = ", ".join(f"{count} {part}" for part, count in checked.items())
        print(f"\r\x1b[K{told}; {problems} problems", end="", file=sys.stderr, flush=True)


def _progress_ends() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
