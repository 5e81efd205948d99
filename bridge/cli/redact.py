"""`bridge redact`: a secret leaked into a message."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.connection import AsJson, Data, TokenPath, Url, connect, show


def redact(
    thread_id: Annotated[str, typer.Option(help="The thread.")],
    seq: Annotated[int, typer.Option(min=1, help="Which message of it.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit. Do not repeat the secret here.")],
    data: Data = None,
    url: Url = None,
    token_file: TokenPath = None,
    as_json: AsJson = False,
) -> None:
    """Take away what a message says, for good; its place, its sender and its hash stay, and the audit says why."""
    with connect(data, url, token_file) as client:
        done = client.redact(thread_id, seq, reason)
    text = (
        f"redacted: {seq} in {thread_id} (sha256 of what it said: {done['body_sha256']})\n"
        "who has read it knows it, and backups hold it: change the secret"
    )
    show(done, as_json=as_json, text=text)
