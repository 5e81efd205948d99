"""`bridge token`: issue, revoke, inspect, rotate-key. What is issued is printed alone, to be put into a file."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import seconds
from bridge.config import load_settings
from bridge.core.claims import unchecked_claims
from bridge.core.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True)


@app.command()
def issue(
    agent: Annotated[str, typer.Option(help="The agent it is for.")],
    role: Annotated[
        str, typer.Option(help="participant, coordinator, operator, auditor or host.")
    ] = "participant",
    session: Annotated[str | None, typer.Option(help="Its session; not given: one is made.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Its workspace; not given: the operator's.")] = None,
    ttl: Annotated[str, typer.Option(help="How long it lives, at most 1h: 90s, 30m, 1h.")] = "1h",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Issue a token and print it alone."""
    fields = {"role": role, "session_id": session, "workspace_id": workspace, "ttl_s": seconds(ttl, "ttl")}
    with connect(data, url, token_file) as client:
        answer = client.issue_token(agent, **fields)
    show(answer, as_json=as_json, text=str(answer["token"]))


@app.command()
def revoke(
    agent: Annotated[str | None, typer.Option(help="All tokens of this agent.")] = None,
    session: Annotated[str | None, typer.Option(help="All tokens of this session.")] = None,
    jti: Annotated[str | None, typer.Option(help="The token with this id.")] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "revoked by an operator",
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Revoke tokens, in force everywhere within a second."""
    named = [(kind, value) for kind, value in (("agent", agent), ("session", session), ("jti", jti)) if value]
    if len(named) != 1:
        print("bridge: give one of --agent, --session, --jti", file=sys.stderr)
        raise typer.Exit(2)
    kind, value = named[0]
    with connect(data, url, token_file) as client:
        answer = client.call(
            "POST", "/v1/tokens/revocations", json={"kind": kind, "value": value, "reason": reason}
        )
    show(answer, as_json=as_json, text=f"revoked: {kind} {value}")


@app.command()
def inspect(
    path: Annotated[
        Path | None, typer.Argument(help="File with the token; not given: standard input.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a token says, without its signature and without checking it."""
    token = (path.read_text() if path else sys.stdin.read()).strip()
    claims = unchecked_claims(token)
    if not claims:
        raise InvalidArgument("this is no token")
    lines = [f"{name}: {_told(name, value)}" for name, value in claims.items()]
    show(claims, as_json=as_json, text="\n".join(lines))


@app.command("rotate-key")
def rotate(
    drop_old: Annotated[
        bool,
        typer.Option("--drop-old", help="All that the old key has signed is void at once: it has leaked."),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Sign with a new key from now on; the old one's tokens stay good for their hour. No restart is needed."""
    from bridge.stack.keys import rotate_key

    now = int(time.time())  # noqa: TID251  exp is wall time, and keys are changed without a database
    rotated = rotate_key(load_settings(data_dir=data), now, drop_old=drop_old)
    until = _told("exp", rotated.old_until)
    old = f"tokens of {rotated.old_kid} are " + (
        f"good until {until}" if rotated.old_until else "void: have new ones issued"
    )
    show(asdict(rotated), as_json=as_json, text=f"{rotated.kid} signs from now on; {old}")


def _told(name: str, value: Any) -> str:  # noqa: ANN401  a claim
    if name in ("iat", "exp", "nbf") and isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return str(value)
