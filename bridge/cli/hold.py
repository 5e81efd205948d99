"""`bridge hold`: leave a session alone for a while, or give it back.

From a shell within the session its own token says whose it is; an operator names the session.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show
from bridge.cli.words import ahead, clock, seconds, why
from bridge.client import Client
from bridge.config import load_settings
from bridge.core.claims import unchecked_claims

OPERATOR = "operator"


def hold(
    span: Annotated[
        str | None,
        typer.Argument(metavar="[SPAN]", help="How long: 90s, 15m, 2h. Not given: as long as allowed."),
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="The session; not given: the one of this shell (BRIDGE_SESSION_ID).")
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="Give it back: what waits is tried at once.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why; whoever waits for it is told.")] = None,
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Leave a session alone: nothing is typed there and nothing is started for it, unless an operator forces it."""
    if release and span is not None:
        raise typer.BadParameter("give a span, or --release", param_hint="--release")
    for_s = 0.0 if release else None if span is None else float(seconds(span, "span"))
    with connect(data, url, token_file) as client:
        wanted = session or load_settings().session_id or _own(client)
        if wanted is None:
            print("bridge: name the session: --session S (this shell is in none)", file=sys.stderr)
            raise typer.Exit(2)
        answer = client.hold(wanted, for_s, reason)
    until = answer["held_until"]
    if until is None:
        text = f"released: {wanted}"
    else:
        said = f": {why(answer['reason'])}" if answer["reason"] else ""
        again = wanted if re.fullmatch(r"[\w.:-]+", wanted) else repr(wanted)
        text = (
            f"held: {wanted} until {clock(until)} ({ahead(until, answer['now'])}){said}\n"
            f"to give it back: bridge hold --release --session {again}"
        )
    show(answer, as_json=as_json, text=text)


def _own(client: Client) -> str | None:
    """The session in the token; an operator's own is nobody's to hold."""
    claims = unchecked_claims(client.token())
    return None if claims.get("role") == OPERATOR else claims.get("session_id")
