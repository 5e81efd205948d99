"""`bridge retention run` and `bridge retention restore`: old threads into a file, and back. At the console only.

Rules of this file:

- Nothing is removed before the archive is complete on the disk, was read back from there, and gave the same rows again.
- A run may be killed at any point and started again: what was written and not removed is written once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.adapters.archive_file import ArchiveReader, ArchiveWriter, Block, only_writer
from bridge.bootstrap import Deps
from bridge.cli.connection import AsJson, Data, show
from bridge.cli.direct import at_the_console
from bridge.cli.progress import progress
from bridge.cli.words import seconds
from bridge.commands.archive_thread import archive_thread
from bridge.commands.restore_thread import restore_thread
from bridge.core.caller import Caller
from bridge.core.errors import Conflict, InvalidArgument, NotFound
from bridge.core.retention import digest_of
from bridge.queries.archive import check_rows, closed_before, old_threads, revision, thread_rows

Workspace = Annotated[str, typer.Option(help="Which workspace.")]
THREADS_MAX = 10_000
"""Of one run, and so of one file."""
KEPT_SHOWN = 50
app = typer.Typer(no_args_is_help=True)


@dataclass
class Account:
    """What a run did, or would do."""

    before: datetime
    file: str | None = None
    file_sha256: str | None = None
    archived: list[Block] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    more: bool = False


@app.callback()
def _group() -> None:
    """Archive old threads, or put archived ones back. Nothing is archived unless you say so."""


@app.command()
def run(
    older_than: Annotated[str, typer.Option(help="How long ago a closed thread changed last: 90d, 12h.")],
    archive: Annotated[Path | None, typer.Option(help="The folder to write into; made if need be.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    workspace: Workspace = "default",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Move closed threads that are old enough into a file."""
    age_s = seconds(older_than, "older_than")
    if archive is None and not dry_run:
        raise InvalidArgument("give --archive DIR, the folder to write into (or --dry-run)", path="archive")
    with at_the_console(data, workspace) as (container, caller):
        deps = container.archivist
        now, before = closed_before(deps, caller, age_s)
        account = Account(before)
        if archive is None or dry_run:
            _measure(deps, caller, account)
        else:
            with only_writer(archive):
                _archive(deps, caller, archive, account, now)
    show(_facts(account, dry=dry_run), as_json=as_json, text="\n".join(_words(account, dry=dry_run)))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `bridge retention run` wrote.")],
    thread_id: Annotated[str | None, typer.Option(help="Only this thread.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Put archived threads back, row for row; those that are there stay as they are."""
    reader = ArchiveReader(file)
    header = reader.header()
    blocks = {block.thread_id: block for block in reader.check()}
    if thread_id is not None and thread_id not in blocks:
        raise NotFound(f"{thread_id} is not in {file}", thread_id=thread_id)
    wanted = {thread_id} if thread_id is not None else set(blocks)
    restored: list[str] = []
    console = at_the_console(data, header["workspace_id"])
    with console as (container, caller), progress("restored", len(wanted)) as tell:
        for found, lines in reader.blocks():
            if found in wanted:
                sha256 = blocks[found].sha256
                if restore_thread(container.archivist, caller, found, lines, sha256=sha256):
                    restored.append(found)
                tell.update(1)
    there = sorted(wanted - set(restored))
    words = f"threads put back: {len(restored)}" + (f"; there already: {len(there)}" if there else "")
    show({"restored": restored, "there_already": there}, as_json=as_json, text=words)


def _candidates(deps: Deps, caller: Caller, account: Account) -> list[str]:
    """The threads that may go, as many as one run takes; why others stay is noted."""
    may_go = list(islice(_may_go(deps, caller, account), THREADS_MAX + 1))
    account.more = len(may_go) > THREADS_MAX
    return may_go[:THREADS_MAX]


def _may_go(deps: Deps, caller: Caller, account: Account) -> Iterator[str]:
    for thread_id, why in old_threads(deps, caller, account.before):
        if why is None:
            yield thread_id
        else:
            account.kept[thread_id] = why


def _measure(deps: Deps, caller: Caller, account: Account) -> None:
    threads = _candidates(deps, caller, account)
    with progress("measured", len(threads)) as tell:
        for thread_id in threads:
            digest = digest_of(thread_rows(deps, caller, thread_id))
            account.archived.append(Block(thread_id, digest.rows, digest.size_bytes, digest.hex()))
            tell.update(1)


def _archive(deps: Deps, caller: Caller, folder: Path, account: Account, now: datetime) -> None:
    path = folder / f"wakebridge-{caller.workspace_id}-{now:%Y%m%dT%H%M%S%f}Z.jsonl.gz"
    header = {"workspace_id": caller.workspace_id, "revision": revision(deps), "by": caller.agent_id}
    times = {"written_at": now.isoformat(), "before": account.before.isoformat()}
    threads = _candidates(deps, caller, account)
    if not threads:
        return
    writer = ArchiveWriter(path, header | times)
    try:
        with progress("written", len(threads)) as tell:
            written = [_write(deps, caller, writer, one, tell) for one in threads]
        writer.finish()
    finally:
        writer.drop()
    account.file, account.file_sha256 = str(path), ArchiveReader(path).sha256()
    _verify(deps, caller, path, written)
    _remove(deps, caller, account, written)


def _write(deps: Deps, caller: Caller, writer: ArchiveWriter, thread_id: str, tell: Any) -> Block:  # noqa: ANN401
    block = writer.add(thread_id, thread_rows(deps, caller, thread_id))
    tell.update(1)
    return block


def _verify(deps: Deps, caller: Caller, path: Path, written: list[Block]) -> None:
    """Raise unless what is on the disk is what was written, and gives the same rows again."""
    reader = ArchiveReader(path)
    if reader.check() != written:
        raise Conflict(f"{path} is not what was written: nothing was removed. Is the disk in order?")
    with progress("verified", len(written)) as tell:
        for thread_id, lines in reader.blocks():
            check_rows(deps, caller, thread_id, lines)
            tell.update(1)


def _remove(deps: Deps, caller: Caller, account: Account, written: list[Block]) -> None:
    assert account.file is not None  # noqa: S101  written just now
    assert account.file_sha256 is not None  # noqa: S101
    where = {"file": Path(account.file).name, "file_sha256": account.file_sha256}
    with progress("archived", len(written)) as tell:
        for block in written:
            why = archive_thread(
                deps, caller, block.thread_id, before=account.before, sha256=block.sha256, **where
            )
            if why is None:
                account.archived.append(block)
            else:
                account.kept[block.thread_id] = why
            tell.update(1)


def _facts(account: Account, *, dry: bool) -> dict[str, Any]:
    return {
        "dry_run": dry,
        "before": account.before.isoformat(),
        "file": account.file,
        "sha256": account.file_sha256,
        "threads": [
            {"thread_id": one.thread_id, "rows": one.rows, "bytes": one.size_bytes}
            for one in account.archived
        ],
        "kept": account.kept,
        "more": account.more,
    }


def _words(account: Account, *, dry: bool) -> list[str]:
    rows, size_bytes = (
        sum(one.rows for one in account.archived),
        sum(one.size_bytes for one in account.archived),
    )
    what = "that would go" if dry else "archived"
    lines = [f"threads {what}: {len(account.archived)}, {rows} rows, {size_bytes} bytes before compression"]
    lines += [f"  {one.thread_id}  {one.rows} rows" for one in account.archived] if dry else []
    lines += [f"  {thread_id} stays: {why}" for thread_id, why in sorted(account.kept.items())[:KEPT_SHOWN]]
    if account.more:
        lines.append("there are more that may go: run again")
    if account.file is not None:
        lines += [f"file    {account.file}", f"sha256  {account.file_sha256}"]
    return lines
