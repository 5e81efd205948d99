"""Who agents run as, where that is somebody else than the bridge, and the folder that is all they share with it.

Rules of this file:

- Only root gives processes away: whoever else may change users keeps its rights across the change.
- The folder is root's, and so is all above it: its user may pass through, and neither list, add nor replace. A folder
  above that others may write, and is not sticky, would make the whole of it theirs.
- Nothing of the bridge is opened for that user: what agents need is put where they are.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.adapters.runtimes.shim_agent import User
from bridge.config import Settings
from bridge.core.errors import InvalidArgument

PASSED: Final = 0o711
TRIAL_S: Final = 10.0
NEEDED: Final = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SYS_PTRACE": 19,
}
"""To hand files and processes over, and to find and end the latter: a container's root may lack the last."""
_SHELL: Final = "/bin/sh"


@dataclass(frozen=True, slots=True)
class AgentUser:
    """Another user of this machine, as its books have it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    @property
    def start_dir(self) -> str:
        """Where its agents begin: at home, if it has one."""
        return self.home if Path(self.home).is_dir() else "/"

    def variables(self) -> dict[str, str]:
        """What a login would say of it."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}

    def become(self) -> User:
        """Its numbers, for the shim."""
        return User(uid=self.uid, gid=self.gid, groups=list(self.groups))

    def give(self, place: int | Path) -> None:
        """Make a file, or what is behind a descriptor, its own."""
        os.chown(place, self.uid, self.gid)

    def why_not_run(self, argv: list[str]) -> str:
        """Why it cannot run this, found out by trying; "" when it can."""
        try:
            tried = subprocess.run(  # noqa: S603 - an argv of our own
                argv,
                cwd="/",  # entered before it is that user: a folder proves nothing
                env={},
                user=self.uid,
                group=self.gid,
                extra_groups=list(self.groups),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TRIAL_S,
                check=False,
            )
        except OSError as error:
            return str(error.strerror)
        except subprocess.TimeoutExpired:
            return "it does not end"
        return (tried.stderr.strip() or f"status {tried.returncode}") if tried.returncode else ""


def agent_user(settings: Settings) -> AgentUser | None:
    """Whom agents become here; None: nobody else. Raises InvalidArgument that says what to do."""
    name = settings.agents_as
    if name is None:
        return None
    return find_user(name, uid=os.geteuid(), capabilities=_capabilities())


def find_user(name: str, *, uid: int, capabilities: int) -> AgentUser:
    """That user, for a process of this uid with these capabilities. Raises InvalidArgument."""
    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise _refused(
            f"there is no user {name!r} on this machine: make one (useradd --create-home NAME)"
        ) from error
    if found.pw_uid == 0:
        raise _refused(f"nothing can be kept from agents that run as {name}: name a user that is not root")
    if uid != 0:
        raise _refused(
            f"only root can start agents as {name}: start this as root (sudo), or leave --agents-as out"
        )
    missing = [cap for cap, bit in NEEDED.items() if not capabilities >> bit & 1]
    if missing:
        raise _refused(
            f"root lacks {', '.join(missing)} here, and could not start or end agents as {name}: "
            "give it that (in a container: --cap-add)"
        )
    groups = tuple(os.getgrouplist(name, found.pw_gid))
    return AgentUser(name, found.pw_uid, found.pw_gid, groups, found.pw_dir or "/", found.pw_shell or _SHELL)


def open_to_agents(settings: Settings) -> AgentUser | None:
    """Make the folder that agents share with the bridge; None where they are nobody else. Raises InvalidArgument."""
    user = agent_user(settings)
    if user is None:
        return None
    folder = settings.agents_dir
    if folder in (settings.run_dir, settings.data_dir):
        raise _refused(f"{folder} is the bridge's own: give agents another folder (BRIDGE_AGENTS_DIR)")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(folder)
        folder.chmod(PASSED)
    except OSError as error:
        raise _refused(f"{folder}, which agents are to enter, cannot be made: {error.strerror}") from error
    why = user.why_not_run([_SHELL, "-c", 'cd -- "$1"', _SHELL, str(folder)])
    if why:
        raise _refused(
            f"{user.name} cannot enter {folder} ({why}): set BRIDGE_AGENTS_DIR to a folder below ones "
            "that everybody may enter"
        )
    return user


def _check_ours(folder: Path) -> None:
    for place in (folder, *Path(os.path.realpath(folder)).parents):
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {0, os.geteuid()}:
            raise _refused(f"{place} is not a folder of root's: set another (BRIDGE_AGENTS_DIR)")
        others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if others and not (found.st_mode & stat.S_ISVTX and place != folder):
            raise _refused(
                f"{place} may be written by others: chmod go-w, or set another (BRIDGE_AGENTS_DIR)"
            )


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return int(value, 16)
    return 0


def _refused(detail: str) -> InvalidArgument:
    return InvalidArgument(detail, path="agents_as")


__all__ = ["AgentUser", "agent_user", "find_user", "open_to_agents"]
