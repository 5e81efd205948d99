"""`bridge pause` and `bridge resume`: hold waking back in a scope, and let it go on."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show

Scope = Annotated[str, typer.Argument(help="all, host:NAME, runtime:NAME, agent:ID or thread:ID.")]
Reason = Annotated[str, typer.Option(help="Why.")]


def pause(
    reason: Reason,
    scope: Scope = "all",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Pause the waking: nothing is lost, wakes wait and say why."""
    with connect(data, url, token_file) as client:
        answer = client.pause(scope, reason)
    show(answer, as_json=as_json, text=f"paused: {scope}")


def resume(
    reason: Reason,
    scope: Scope = "all",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """End a pause."""
    with connect(data, url, token_file) as client:
        answer = client.resume(scope, reason)
    show(answer, as_json=as_json, text=f"resumed: {scope}")
