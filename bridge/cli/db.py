"""`bridge db upgrade`: bring the database to what this code needs."""

from __future__ import annotations

import json

import typer

from bridge.bootstrap import prepare_database
from bridge.cli.connection import AsJson, Data
from bridge.config import load_settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The database."""


@app.command()
def upgrade(data: Data = None, as_json: AsJson = False) -> None:
    """Run the migrations that are missing. Safe to run again, and by two at once."""
    settings = load_settings(data_dir=data)
    before, after = prepare_database(settings)
    text = f"the database is at {after}" + ("" if before == after else f" (was at {before or 'nothing'})")
    print(json.dumps({"before": before, "after": after}) if as_json else text)
