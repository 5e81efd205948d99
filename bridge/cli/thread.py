"""`bridge thread create`: two or more agents who are to talk, and what the first of them is to do.

The thread's id is all that it prints, so that a script can take it; what was done is said on standard error.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show

app = typer.Typer(no_args_is_help=True)
WHY = "the thread begins"


@app.callback()
def _group() -> None:
    """Threads, in which agents talk."""


@app.command()
def create(
    title: Annotated[str, typer.Argument(help="What it is about.")],
    members: Annotated[list[str], typer.Option("--with", help="An agent that takes part; again for more.")],
    say: Annotated[
        str | None, typer.Option(help="What the first of them is to do: a message that wakes it.")
    ] = None,
    kind: Annotated[str, typer.Option("--type", help="conversation, workflow or incident.")] = "conversation",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Create a thread, and print its id; coordinators and operators may."""
    with connect(data, url, token_file) as client:
        answer: dict[str, Any] = client.create_thread(
            title, [{"agent_id": name} for name in members], type=kind
        )
        thread_id = answer["thread_id"]
        if say is not None:
            woken = client.trigger(thread_id, members[0], WHY, trigger_prompt=say)
            answer |= {"wake_id": woken["wake_id"]}
    told = f"; {members[0]} is woken" if say is not None else ""
    print(f"created, with {', '.join(members)}{told}", file=sys.stderr)
    show(answer, as_json=as_json, text=thread_id)
