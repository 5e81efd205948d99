"""`bridge attach --agent reviewer --pane %5` (or `-- codex`): an agent in a pane of tmux, so that it can be woken.

Rules of this file:
- It joins three strangers: the preset (data), the client (HTTP) and the pane. Nothing of the work is done here.
- Who may say which pane is the human at this keyboard alone: no call of the bridge names one.
- The token comes as for `bridge run`. No secret is ever part of a command line.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import httpx
import typer

from bridge.adapters.presets import load_preset, preset_of
from bridge.adapters.presets.command import PresetError
from bridge.cli.run import OwnSession, host_socket, identity_of, live_of, resumes
from bridge.config import inherited_environment, load_settings
from bridge.core.errors import Conflict, Unavailable
from bridge.terminal import Rules
from bridge.terminal.tmux import AttachOptions, names_in_pane
from bridge.terminal.tmux import attach as attach_pane
from bridge.terminal.tmux_pane import TmuxError

Answer = TypeVar("Answer")


def attach(
    agent: Annotated[str, typer.Option(help="The agent that the program is.")],
    command: Annotated[
        list[str] | None, typer.Argument(help="A program to start in a new session of tmux, after --.")
    ] = None,
    pane: Annotated[str | None, typer.Option(help="The pane it runs in already, like %5.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the stack's data (or BRIDGE_DATA).")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Another bridge than the stack's; needs BRIDGE_TOKEN or --token-file.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the agent's token.")] = None,
    session: Annotated[str | None, typer.Option(help="The session's id; not set: a new one.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="What the program is; not set: told by its name.")
    ] = None,
    tmux_socket: Annotated[
        Path | None, typer.Option(help="The tmux server's socket; not set: tmux's own choice.")
    ] = None,
) -> None:
    """Serve an agent program in a pane of tmux, so that it can be woken, until the pane ends."""
    if (pane is None) == (not command):
        raise typer.BadParameter("either --pane or, after --, a program to start", param_hint="--pane")
    settings = load_settings(data_dir=data, url=url, token_file=token_file)
    us = identity_of(settings, agent, session)
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        chosen = preset or _preset_of(command, pane, tmux_socket, settings.presets_dir)
        program = load_preset(chosen, settings.presets_dir)
        options = AttachOptions(
            agent_id=agent,
            session_id=us.session_id,
            url=us.url,
            preset=program.name,
            rules=Rules(**program.screen.arguments()),
            host_socket=host_socket(settings),
            private_dir=settings.run_dir / "agents",
            pane_id=pane,
            command=tuple(command or ()),
            programs=program.live.programs if program.live is not None else (),
            live=live_of(program),
            resumes=resumes(program),
            socket=tmux_socket,
            variables=inherited_environment(),
            environment=us.environment(),
        )
    except PresetError as error:
        raise typer.BadParameter(str(error), param_hint="--preset") from error
    resumable = pane is None and resumes(program) and not options.live.has_own_id
    own = OwnSession(settings, us.url, agent, us.session_id, us.token, resumable=resumable)
    try:
        code = _asked(lambda: attach_pane(options, own, _say))
    except httpx.HTTPError as error:
        raise Unavailable(f"no bridge answers at {us.url}: {error}") from error
    raise typer.Exit(code)


def _preset_of(
    command: list[str] | None, pane: str | None, socket: Path | None, presets_dir: Path | None
) -> str:
    """The preset that says it is for this program; a program that none is for reads lines."""
    names = {Path(command[0]).name} if command else set()
    if pane is not None:
        names = set(_asked(lambda: names_in_pane(pane, socket, inherited_environment())))
    return preset_of(names, presets_dir)


def _asked(ask: Callable[[], Answer]) -> Answer:
    """What tmux answers. Raises Conflict for what it refuses."""
    try:
        return ask()
    except (TmuxError, LookupError, ValueError) as error:
        raise Conflict(str(error)) from error


def _say(text: str) -> None:
    print(f"bridge: {text}", flush=True)
