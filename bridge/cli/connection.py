"""How a command finds the bridge and proves who it is: options, then the environment, then a running stack.

No secret is ever an argument: a token comes from a file, from BRIDGE_TOKEN, or from the stack's own file, which only
its user can read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.client import ApiError, Client, FixedToken, StackOperator, TokenFile, TokenSource
from bridge.config import Settings, load_settings
from bridge.core.errors import Forbidden, NotFound, Unauthorized
from bridge.core.quoting import harmless_json

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the stack's data (or BRIDGE_DATA).")]
Url = Annotated[str | None, typer.Option("--url", help="The bridge's URL (or BRIDGE_URL).")]
TokenPath = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with your token (or BRIDGE_TOKEN_FILE, BRIDGE_TOKEN)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


def connect(data: Path | None, url: str | None, token_file: Path | None) -> Client:
    """A client for whoever calls: with a token of one's own, else as the operator of the stack on this data."""
    settings = load_settings(data_dir=data, url=url, token_file=token_file)
    _check_own_bridge(url)
    return Client(bridge_url(settings), _source(settings))


def _check_own_bridge(url: str | None) -> None:
    """An agent may be talked into naming another bridge, and would hand it its token. Raises Forbidden."""
    own = load_settings()
    if url is not None and own.session_id is not None and own.url is not None and url != own.url:
        raise Forbidden(
            f"this is an agent's session, and its bridge is {own.url}: what is in its environment goes nowhere else"
        )


def bridge_url(settings: Settings) -> str:
    """Where the bridge is. Raises NotFound with what to do."""
    if settings.url:
        return settings.url
    try:
        return str(json.loads(settings.stack_file.read_text())["url"])
    except (OSError, ValueError, KeyError) as error:
        detail = (
            f"no bridge found: no stack runs on {settings.data_dir}. "
            "Start one with `bridge up`, or name one with --url or --data"
        )
        raise NotFound(detail) from error


def _source(settings: Settings) -> TokenSource:
    if settings.token_file is not None:
        return TokenFile(settings.token_file)
    if settings.token is not None:
        return FixedToken(settings.token.get_secret_value())
    if settings.stack_file.exists():
        return StackOperator(settings.data_dir)
    raise Unauthorized("no token: give --token-file, or set BRIDGE_TOKEN_FILE or BRIDGE_TOKEN")


def show(answer: dict[str, Any], *, as_json: bool, text: str) -> None:
    """Print the answer for a program, or the text for a person."""
    print(harmless_json(answer) if as_json else text)


def parse_object(text: str | None, option: str) -> dict[str, Any] | None:
    """A JSON object given as an option. Ends with usage (2) when it is none."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        print(
            f'bridge: {option} takes a JSON object, as in {option} \'{{"type": "decision"}}\'',
            file=sys.stderr,
        )
        raise typer.Exit(2)
    return found


__all__ = ["ApiError", "AsJson", "Data", "TokenPath", "Url", "bridge_url", "connect", "parse_object", "show"]
