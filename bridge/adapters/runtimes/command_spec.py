"""What the shim is ordered to run: a preset and a run's values made into argv, environment and directory.

Rules of this file:

- The agent's environment is the preset's allow-list of the worker's own variables, the preset's settings, and
  the six that say who it is and where the bridge is. Nothing else, and no secret: the token is in a file.
- Where agents are another user, what says where the worker's user is at home says so of theirs, or is left out.
- What could not be carried out faithfully is refused before anything is started.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import ArgumentError, CommandData, PresetError, fill
from bridge.adapters.runtimes.agent_user import AgentUser
from bridge.adapters.runtimes.shim_agent import Order
from bridge.adapters.runtimes.shim_proof import NATIVE_ID_MAX, Rule
from bridge.config import Settings
from bridge.core.errors import InvalidArgument
from bridge.core.policy import KILL_AFTER_S_MAX, KILL_GRACE_S_MAX
from bridge.core.states import Rung
from bridge.ports.runs import RunSpec

PROMPT_BYTES_MAX: Final = 64 * 1024
RUN_ID: Final = "BRIDGE_RUN_ID"
HOST_NAME: Final = "BRIDGE_HOST_NAME"
TOKEN_FILE: Final = "BRIDGE_TOKEN_FILE"  # noqa: S105 - the name of a variable

_AT_HOME: Final = re.compile(r"XDG_.*|TMPDIR|SSH_AUTH_SOCK")  # the worker's user's, and of no use to another
_NAMED: Final = "{native_id}"
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run keeps its files."""

    folder: Path

    @property
    def token(self) -> Path:
        """The agent's token, there as long as the run is."""
        return self.folder / "token"

    @property
    def log(self) -> Path:
        """What the agent wrote."""
        return self.folder / "output.log"

    @property
    def shim_log(self) -> Path:
        """What the shim had to say about itself."""
        return self.folder / "shim.log"


def check(spec: RunSpec) -> None:
    """Refuse what no preset could start. Raises InvalidArgument."""
    if not _FILE_NAME.fullmatch(spec.run_id):
        raise InvalidArgument("a run's id is letters, digits, '_', '.' and '-'", path="run_id")
    if spec.rung not in {Rung.RESUME, Rung.SPAWN}:
        raise InvalidArgument(f"nothing is started on rung {spec.rung}", path="rung")
    if not 0 < len(spec.native_id) <= NATIVE_ID_MAX or not spec.native_id.isprintable():
        raise InvalidArgument("the native id is empty, too long or not printable", path="native_id")
    try:
        size = len(spec.prompt.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument("the prompt is no text", path="prompt") from error
    if size > PROMPT_BYTES_MAX:
        raise InvalidArgument(f"the prompt is longer than {PROMPT_BYTES_MAX} bytes", path="prompt")
    if not (0 < spec.kill_after_s <= KILL_AFTER_S_MAX and 0 <= spec.kill_grace_s <= KILL_GRACE_S_MAX):
        how = f"a run has at most {KILL_AFTER_S_MAX:g} s, and {KILL_GRACE_S_MAX:g} s of grace"
        raise InvalidArgument(how, path="run")
    if spec.cwd is not None and (not spec.cwd.startswith("/") or "\0" in spec.cwd):
        raise InvalidArgument("the working directory is an absolute path", path="cwd")


def command_of(spec: RunSpec, settings: Settings) -> CommandData:
    """The preset's [command], if it can start this rung. Raises InvalidArgument."""
    try:
        command = load_preset(spec.preset, settings.presets_dir).command
    except PresetError as error:
        raise InvalidArgument(str(error), path="preset") from error
    if command is None or spec.rung.value not in command.argv:
        raise InvalidArgument(f"preset {spec.preset} cannot {spec.rung} anything", path="preset")
    return command


def make_order(
    spec: RunSpec,
    command: CommandData,
    settings: Settings,
    worker: Mapping[str, str],
    place: Place,
    renewed_at: float,
    fence_s: float,
    user: AgentUser | None = None,
) -> Order:
    """The order for the shim, of a spec that was checked. Raises InvalidArgument."""
    if _NAMED in "".join(command.argv[spec.rung.value]) and not command.names_session(spec.native_id):
        raise InvalidArgument(
            f"{spec.native_id!r} is no name of a session of {spec.preset}", path="native_id"
        )
    try:
        argv = fill(command.argv[spec.rung.value], _values(spec))
    except ArgumentError as error:
        raise InvalidArgument(f"preset {spec.preset}: {error}", path="preset") from error
    return Order(
        argv=argv,
        env=_environment(spec, command, settings, worker, place, user),
        cwd=spec.cwd or command.cwd or (user.start_dir if user else str(Path.home())),
        prompt=spec.prompt,
        native_id=spec.native_id,
        told=command.native == "told" and spec.rung is Rung.SPAWN,
        identity=Rule(
            event=dict(command.identity.event), field=command.identity.field, form=command.native_form
        )
        if command.identity
        else None,
        kill_after_s=spec.kill_after_s,
        grace_s=spec.kill_grace_s,
        fence_at=min(renewed_at + fence_s, math.inf if spec.start_by is None else spec.start_by),
        fence_s=fence_s,
        log=str(place.log),
        token_file=str(place.token),
        user=user.become() if user else None,
    )


def marks(run_id: str, settings: Settings, place: Place) -> dict[str, str]:
    """What every process of a run is found by. The file's path tells two bridges on one machine apart."""
    return {RUN_ID: run_id, HOST_NAME: settings.host_name, TOKEN_FILE: str(place.token)}


def bridge_url(settings: Settings) -> str:
    """Where an agent on this machine reaches the bridge."""
    if settings.url:
        return settings.url
    host = _ANYWHERE.get(settings.bind, settings.bind)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _values(spec: RunSpec) -> dict[str, str]:
    return {
        "session_id": spec.session_id,
        "native_id": spec.native_id,
        "agent_id": spec.agent_id,
        "workspace_id": spec.workspace_id,
        "run_id": spec.run_id,
        "python": sys.executable,
    }


def _environment(
    spec: RunSpec,
    command: CommandData,
    settings: Settings,
    worker: Mapping[str, str],
    place: Place,
    user: AgentUser | None,
) -> dict[str, str]:
    allowed = {name: worker[name] for name in command.environment if name in worker}
    if user is not None:
        allowed = {name: value for name, value in allowed.items() if not _AT_HOME.fullmatch(name)}
        allowed |= user.variables()
    return {
        **allowed,
        **command.settings,
        **marks(spec.run_id, settings, place),
        "BRIDGE_URL": bridge_url(settings),
        "BRIDGE_SESSION_ID": spec.session_id,
        "BRIDGE_AGENT_ID": spec.agent_id,
        "BRIDGE_WORKSPACE_ID": spec.workspace_id,
    }
