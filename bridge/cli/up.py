"""`bridge up` and `bridge down`: the whole stack, started and stopped."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.agents_as import AgentsAs, check_agents
from bridge.config import inherited_environment, load_settings
from bridge.stack.down import stop_stack
from bridge.stack.log import terminal_lines
from bridge.stack.ports import free_port
from bridge.stack.up import run_stack

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the stack's data (or BRIDGE_DATA).")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Answer in JSON on standard output; the rest on standard error.")
]


def up(
    data: Data = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the web; 0: a free one.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Seed of the default policy.")] = None,
    agents_as: AgentsAs = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole stack here, in the foreground, until Ctrl-C or `bridge down`."""
    settings = load_settings(
        data_dir=data,
        port=free_port(0) if port == 0 else port,
        policy_file=policy,
        agents_as=agents_as,
    )
    check_agents(settings)
    stream = sys.stderr if as_json else sys.stdout
    lines = terminal_lines(inherited_environment(), stream, raw=as_json)
    asyncio.run(run_stack(settings, lines, report=_print_json if as_json else _nothing))


def down(data: Data = None, as_json: AsJson = False) -> None:
    """Stop the stack that runs on this data, and return when nothing of it is left."""
    settings = load_settings(data_dir=data)
    stopped = stop_stack(settings.data_dir)
    if as_json:
        _print_json({"pid": stopped.pid, "leftovers": stopped.leftovers, "data": str(settings.data_dir)})
        return
    ran = f"stopped the stack (pid {stopped.pid})" if stopped.pid else "no stack was running"
    killed = f"; killed {stopped.leftovers} processes that were left" if stopped.leftovers else ""
    print(f"{ran} on {settings.data_dir}{killed}; nothing is left running")


def _print_json(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def _nothing(_answer: dict[str, object]) -> None:
    """Print nothing: a person has read it already."""
