"""Who may hold a session on this host, and where what becomes of it is carried."""

from __future__ import annotations

from pathlib import Path

from bridge.adapters.presets import NAME_FORM, load_preset
from bridge.adapters.presets.command import PresetError
from bridge.adapters.runtimes.pty_words import SHOWN_BY
from bridge.bootstrap import Container
from bridge.commands.accept_wake import accept_wake
from bridge.commands.attach_session import attach_session
from bridge.commands.detach_session import detach_session
from bridge.commands.name_session import name_session
from bridge.commands.rouse_agent import rouse_agent
from bridge.core.errors import BridgeError, ClaimMismatch, InvalidArgument, Unauthorized
from bridge.core.states import Rung
from bridge.ports.hosts import Registered

NATIVE_ID_MAX = 200


class HostRegistrar:
    """Lets wrappers in by their token, and carries what becomes of them to the commands."""

    def __init__(self, container: Container, host: str, presets_dir: Path | None = None) -> None:
        self._container, self._deps, self._host = container, container.deps, host
        self._presets_dir = presets_dir

    def register(
        self,
        token: str,
        session_id: str,
        pid: int,
        preset: object = None,
        runtime: str = "pty",
        agent_pid: int | None = None,
    ) -> Registered:
        """Attach the session that the token is for. Raises BridgeError."""
        claims = self._container.tokens.verify(token)
        if claims.session_id != session_id:
            raise ClaimMismatch("the token is for another session")
        known = preset if isinstance(preset, str) and NAME_FORM.fullmatch(preset) else None
        term = attach_session(
            self._deps,
            claims.workspace_id,
            claims.agent_id,
            session_id,
            host=self._host,
            pid=pid,
            runtime=runtime,
            preset=known,
            cwd=_cwd_of(agent_pid or pid),
        )
        return Registered(claims.workspace_id, claims.agent_id, session_id, term, known)

    def still_valid(self, token: str, registered: Registered) -> bool:
        """False only when the token itself is over, or another's; not when that cannot be found out now."""
        try:
            claims = self._container.tokens.verify(token)
        except Unauthorized:
            return False
        except BridgeError:
            return True
        of = (claims.workspace_id, claims.agent_id, claims.session_id)
        return of == (registered.workspace_id, registered.agent_id, registered.session_id)

    def gone(self, registered: Registered, why: str) -> None:
        """Offline at once."""
        detach_session(self._deps, registered.workspace_id, registered.session_id, registered.term, why)

    def became(self, registered: Registered, event: str) -> None:
        """Ready: what waits for it looks again. Busy: a sign of life besides."""
        if event in ("ready", "busy"):
            rouse_agent(self._deps, registered.workspace_id, registered.agent_id, alive=event == "busy")

    def named(self, registered: Registered, native_id: str) -> None:
        """What the program calls its session, to go on with it later. Raises InvalidArgument for what is no name."""
        proper = 0 < len(native_id) <= NATIVE_ID_MAX and native_id.isprintable()
        if not proper or native_id.startswith("-"):
            raise InvalidArgument("the native id is no name of a session", path="native_id")
        name_session(
            self._deps,
            registered.workspace_id,
            registered.session_id,
            registered.term,
            host=self._host,
            native_id=native_id,
            resumable=self._resumes(registered.preset, native_id),
        )

    def accepted(self, registered: Registered, key: str, by: str) -> None:
        """The line of that wake has been seen taken, by this session's program. Raises BridgeError."""
        accept_wake(
            self._deps,
            registered.workspace_id,
            key,
            session_id=registered.session_id,
            by=by if by in SHOWN_BY else "",
            worker=f"host:{self._host}",
        )

    def _resumes(self, preset: str | None, native_id: str) -> bool:
        """Whether the preset goes on with a session of that name. Raises InvalidArgument for a name it cannot have."""
        if preset is None:
            return False
        try:
            command = load_preset(preset, self._presets_dir).command
        except PresetError:
            return False
        if command is None:
            return False
        if not command.names_session(native_id):
            raise InvalidArgument(f"{native_id!r} is no name of a session of {preset}", path="native_id")
        return Rung.RESUME.value in command.argv


def _cwd_of(pid: int) -> str | None:
    """Where the program's session stands, to be resumed there; None when that is gone, or cannot be stored."""
    try:
        found = Path(f"/proc/{pid}/cwd").readlink()
        str(found).encode()
        return str(found) if found.is_dir() else None
    except (OSError, UnicodeEncodeError):
        return None
