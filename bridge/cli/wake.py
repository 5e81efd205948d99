"""`bridge wake`: list, explain, cancel, force, retry."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.standing import stands
from bridge.cli.story import story_lines
from bridge.cli.words import ago, columns
from bridge.client import Client

app = typer.Typer(no_args_is_help=True)
WakeId = Annotated[str, typer.Argument(help="The wake.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the wake's story.")]


@app.command("list")
def list_wakes(
    state: Annotated[
        str | None,
        typer.Option(
            help="Only in this state: pending, delivering, touching, waiting, acked, already_active, ..."
        ),
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    thread: Annotated[str | None, typer.Option(help="Only in this thread.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """List wakes, the newest first."""
    with connect(data, url, token_file) as client:
        page = client.wakes(state=state, agent=agent, thread=thread, limit=limit)
    heads = ("WAKE", "AGENT", "THREAD", "SEQ", "STATE", "TRIES", "BORN", "HOW IT STANDS")
    lines = columns(heads, [_row(wake, page["now"]) for wake in page["items"]])
    if page["next_cursor"]:
        lines.append(f"... and older ones, with --limit (now {limit}), --state, --agent or --thread")
    show(page, as_json=as_json, text="\n".join(lines) if page["items"] else "no wakes")


@app.command()
def explain(
    wake_id: WakeId, data: Data = None, url: Url = None, token_file: TokenPath = None, as_json: AsJson = False
) -> None:
    """Tell the whole story of a wake: what happened, who did it and why, what it waits for, what comes next."""
    with connect(data, url, token_file) as client:
        story = client.explain(wake_id)
    show(story, as_json=as_json, text="\n".join(story_lines(story)))


@app.command()
def cancel(
    wake_id: WakeId,
    reason: Reason,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """End a wake. The message stays unread where it is; one that is being typed ends when its hand reports."""
    wake = _act(connect(data, url, token_file), "cancel", wake_id, reason)
    done = wake["state"] == "cancelled"
    text = f"cancelled: {wake_id}" if done else f"{wake_id} is {wake['state']}: it ends when its hand reports"
    show(wake, as_json=as_json, text=text)


@app.command()
def force(
    wake_id: WakeId,
    reason: Reason,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Skip what a wake waits for; never the check of the input box."""
    wake = _act(connect(data, url, token_file), "force", wake_id, reason)
    text = f"forced: {wake_id}, tried now (see: bridge wake explain {wake_id})"
    show(wake, as_json=as_json, text=text)


@app.command()
def retry(
    wake_id: WakeId,
    reason: Reason = "",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Open a new wake where one ended unread; you are told should it fail too."""
    wake = _act(connect(data, url, token_file), "retry", wake_id, reason)
    text = f"opened: {wake['wake_id']} for {wake['agent_id']}, up to {wake['target_seq']}"
    show(wake, as_json=as_json, text=text)


def _act(client: Client, name: str, wake_id: str, reason: str) -> dict[str, Any]:
    with client:
        return client.act_on_wake(wake_id, name, reason)


def _row(wake: dict[str, Any], now: str) -> tuple[str, ...]:
    tries = " ".join(f"{rung} {count}" for rung, count in wake["tries"].items() if count) or "-"
    state = f"{wake['state']} ({wake['reason']})" if wake["state"] == "pending" else wake["state"]
    return (
        wake["wake_id"],
        wake["agent_id"],
        wake["thread_id"],
        str(wake["target_seq"]),
        state,
        tries,
        ago(wake["created_at"], now),
        stands(wake),
    )
