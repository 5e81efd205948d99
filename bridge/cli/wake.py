"""`bridge wake`: list, explain, ack, cancel, force, retry."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show

app = typer.Typer(no_args_is_help=True)
WakeId = Annotated[str, typer.Argument(help="The wake.")]
Reason = Annotated[str, typer.Option(help="Why.")]


@app.command("list")
def list_wakes(
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
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
    show(page, as_json=as_json, text="\n".join(_line(wake) for wake in page["items"]) or "no wakes")


@app.command()
def explain(
    wake_id: WakeId, data: Data = None, url: Url = None, token_file: TokenPath = None, as_json: AsJson = False
) -> None:
    """Tell the whole story of a wake: what happened, who did it, and why."""
    with connect(data, url, token_file) as client:
        story = client.explain(wake_id)
    lines = [_line(story["wake"])]
    lines += [f"  {step['at']}  {_step(step)}" for step in story["steps"]]
    lines += [
        f"  attempt {tried['attempt_id']}: {tried['rung']} in {tried['session_id']}, {tried['result'] or 'open'}"
        for tried in story["attempts"]
    ]
    show(story, as_json=as_json, text="\n".join(lines))


def _act(name: str, wake_id: str, reason: str, client: Any, as_json: bool) -> None:  # noqa: ANN401
    with client:
        answer = client.act_on_wake(wake_id, name, reason)
    show(
        answer,
        as_json=as_json,
        text=f"{name}: {answer.get('wake_id', wake_id)} {answer.get('state', '')}".rstrip(),
    )


@app.command()
def cancel(
    wake_id: WakeId,
    reason: Reason,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """End a wake."""
    _act("cancel", wake_id, reason, connect(data, url, token_file), as_json)


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
    _act("force", wake_id, reason, connect(data, url, token_file), as_json)


@app.command()
def retry(
    wake_id: WakeId, data: Data = None, url: Url = None, token_file: TokenPath = None, as_json: AsJson = False
) -> None:
    """Open a new wake where one ended unread."""
    _act("retry", wake_id, "", connect(data, url, token_file), as_json)


def _line(wake: dict[str, Any]) -> str:
    what = f"{wake['wake_id']} {wake['agent_id']} in {wake['thread_id']}: {wake['state']}"
    if wake["state"] == "pending":
        what += f", waits ({wake['reason']}) until {wake['due_at']}"
    return what + (f": {wake['why']}" if wake.get("why") else "")


def _step(step: dict[str, Any]) -> str:
    moved = f"{step['from_state'] or 'born'} -> {step['to_state']} ({step['reason']})"
    return f"{step['event']}: {moved}" + (f": {step['why']}" if step.get("why") else "")
