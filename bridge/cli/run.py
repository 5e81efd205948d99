"""`bridge run --agent reviewer -- CMD...`: an agent program in this terminal, so that it can be woken.

Rules of this file:
- It joins three strangers: the preset (data), the client (HTTP) and the terminal. Nothing of the work is done here.
- The agent's own token comes from the stack on this machine, by its operator; or, with `--url`, from `BRIDGE_TOKEN`
  or `--token-file`. No secret is ever part of a command line.
- The program's exit code is ours.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer

from bridge.adapters.ids import Uuid7Ids
from bridge.adapters.presets import Preset, load_preset, preset_of
from bridge.adapters.presets.command import PresetError
from bridge.cli.path import with_bridge
from bridge.client import ApiError, Client, SessionToken, StackOperator
from bridge.config import Settings, inherited_environment, load_settings
from bridge.core.authority import HOME_WORKSPACE
from bridge.core.claims import unchecked_claims
from bridge.core.errors import Unauthorized, Unavailable
from bridge.terminal import Live, Options, Rules
from bridge.terminal import run as run_agent

OVER = frozenset({"TOKEN_EXPIRED", "UNAUTHORIZED"})
RETRY_FOR_S = 0.0
"""The heartbeat comes again by itself: a call that fails is not repeated."""


class OwnSession:
    """The session's client: its own token, renewed; issued anew by the stack when it is over (a machine slept)."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        agent_id: str,
        session_id: str,
        token: str | None,
        *,
        resumable: bool = False,
    ) -> None:
        self._settings, self._url, self._resumable = settings, url, resumable
        self._agent_id, self._session_id = agent_id, session_id
        self._given = token
        self._open(token or self._issued())

    def token(self) -> str:
        """A token that is valid now."""
        return self._client.token()

    def heartbeat(self, session_id: str, *, runtime: str, resumable: bool, status: str) -> object:
        """Say that the session lives; one whose name we choose can be resumed where its preset says so."""
        resumable = resumable or self._resumable
        try:
            return self._client.heartbeat(session_id, runtime=runtime, resumable=resumable, status=status)
        except ApiError as error:
            if error.code not in OVER or self._given is not None:
                raise
            self._client.close()
            self._open(self._issued())
            return self._client.heartbeat(session_id, runtime=runtime, resumable=resumable, status=status)

    def _open(self, token: str) -> None:
        self._client = Client(self._url, SessionToken(self._url, token), retry_for_s=RETRY_FOR_S)

    def _issued(self) -> str:
        operator = StackOperator(self._settings.data_dir)
        with Client(self._url, operator, retry_for_s=RETRY_FOR_S) as client:
            answer = client.issue_token(self._agent_id, role="participant", session_id=self._session_id)
        return str(answer["token"])


def run(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after --.")],
    agent: Annotated[str, typer.Option(help="The agent that the program is.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the stack's data (or BRIDGE_DATA).")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Another bridge than the stack's; needs BRIDGE_TOKEN or --token-file.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the agent's token.")] = None,
    session: Annotated[str | None, typer.Option(help="The session's id; not set: a new one.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="What the program is; not set: told by its name, else line.")
    ] = None,
    headless: Annotated[
        bool,
        typer.Option("--headless", help="Without this terminal: no keys are read, nothing is shown."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Leave the terminal's title alone: it would say what wakes wait.")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(help="File that gets a copy of the program's output (with --headless).")
    ] = None,
) -> None:
    """Run an agent program in this terminal, so that it can be woken. Its exit code is ours."""
    if log is not None and not headless:
        raise typer.BadParameter("only with --headless: the terminal has it already", param_hint="--log")
    settings = load_settings(data_dir=data, url=url, token_file=token_file)
    try:
        known = preset or preset_of({Path(command[0]).name}, settings.presets_dir)
        program = load_preset(known, settings.presets_dir)
        rules = Rules(**program.screen.arguments())
    except PresetError as error:
        raise typer.BadParameter(str(error), param_hint="--preset") from error
    us = identity_of(settings, agent, session)
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = Options(
        command=tuple(command),
        agent_id=agent,
        session_id=us.session_id,
        url=us.url,
        preset=program.name,
        rules=rules,
        host_socket=host_socket(settings),
        private_dir=settings.run_dir / "agents",
        headless=headless,
        quiet=quiet,
        log=log,
        environment=us.environment(),
        live=live_of(program),
        variables=inherited_environment(),
        resumes=resumes(program),
    )
    try:
        resumable = resumes(program) and not options.live.has_own_id
        own = OwnSession(settings, us.url, agent, us.session_id, us.token, resumable=resumable)
        code = run_agent(options, own)
    except httpx.HTTPError as error:
        raise Unavailable(f"no bridge answers at {us.url}: {error}") from error
    raise typer.Exit(code)


def live_of(program: Preset) -> Live:
    """The program's native ways."""
    return Live(**program.live.arguments()) if program.live is not None else Live()


def resumes(program: Preset) -> bool:
    """Whether its preset says how a session is gone on with."""
    return program.command is not None and "resume" in program.command.rungs


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the agent is to be, in which session, and where its bridge is; no token: the stack's operator issues one."""

    url: str
    token: str | None
    session_id: str
    workspace_id: str
    path: str

    def environment(self) -> dict[str, str | None]:
        """What the program gets besides its session: who it is, and nothing of the bridge's own servers."""
        return {
            "BRIDGE_WORKSPACE_ID": self.workspace_id,
            "PATH": self.path,
            "BRIDGE_DATA": None,
            "BRIDGE_DATA_DIR": None,
            "DATABASE_URL": None,
            "BROKER_URL": None,
        }


def identity_of(settings: Settings, agent: str, session: str | None) -> Identity:
    """Work out who we are. Raises Unauthorized for somebody else's token, Unavailable without a bridge."""
    url, token = _bridge(settings)
    claims = unchecked_claims(token or "")  # the bridge checks it, we only spare the user a detour
    if claims and claims.get("agent_id") != agent:
        raise Unauthorized(f"the token is {claims.get('agent_id')}'s, not {agent}'s")
    session_id = str(claims.get("session_id") or session or Uuid7Ids().new("ses"))
    if session is not None and session != session_id:
        raise Unauthorized(f"the token is for the session {session_id}, not {session}")
    path = with_bridge(inherited_environment().get("PATH", os.defpath), settings.run_dir)
    return Identity(url, token, session_id, str(claims.get("workspace_id") or HOME_WORKSPACE), path)


def host_socket(settings: Settings) -> Path:
    """Where the host listens: with agents of another user not where it would else, and the stack says so."""
    if "agents_dir" not in settings.model_fields_set and settings.agents_as is None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            shared = Path(json.loads(settings.stack_file.read_text())["agents_dir"])
            return shared / settings.host_socket.name
    return settings.host_socket


def _bridge(settings: Settings) -> tuple[str, str | None]:
    """The address, and the token that came with it; none: the stack's operator is to issue one."""
    token = settings.token.get_secret_value() if settings.token else None
    if settings.token_file is not None:
        token = settings.token_file.read_text().strip()
    if settings.url is not None:
        if token is None:
            raise Unauthorized("with --url, BRIDGE_TOKEN or --token-file is needed")
        return settings.url, token
    try:
        return str(json.loads(settings.stack_file.read_text())["url"]), token
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(
            f"no stack runs on {settings.data_dir} (start one with: bridge up), and no --url was given"
        ) from error
