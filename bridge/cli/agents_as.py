"""`--agents-as USER`: agents run as another user of this machine. What could not work is refused at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bridge.adapters.runtimes.agent_user import open_to_agents
from bridge.config import Settings

AgentsAs = Annotated[
    str | None,
    typer.Option("--agents-as", help="User that agents run as, who reads nothing of the bridge's; as root."),
]


def check_agents(settings: Settings) -> None:
    """Make sure that agents can be the user they are to be. Raises InvalidArgument; warns of what they will miss."""
    user = open_to_agents(settings)
    if user is None:
        return
    why = user.why_not_run([sys.executable, "-I", "-c", "import bridge.client"])
    if why:
        last = why.splitlines()[-1]
        print(
            f"bridge: {user.name} cannot run {sys.executable} ({last}): agents have no `bridge` command. "
            "Install Wakebridge where everybody may read it",
            file=sys.stderr,
        )
