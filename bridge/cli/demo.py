"""`bridge demo`: a play of eight scenes with real processes, from start to end."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.config import inherited_environment


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="An empty folder that stays; not set: a temporary one.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running after the last scene, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it in JSON lines.")] = False,
) -> None:
    """Play eight scenes with real agents, from start to end; nothing is left behind. Fails if anything does."""
    from bridge.demo.play import Options, play
    from bridge.demo.timeline import Form

    form = Form.JSON if as_json else Form.COLOUR if sys.stdout.isatty() else Form.PLAIN
    code = play(Options(form, data=data, keep=keep), inherited_environment(), _line)
    raise typer.Exit(code)


def _line(text: str) -> None:
    print(text, flush=True)
