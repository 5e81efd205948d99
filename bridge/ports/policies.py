"""Where the policy in force comes from."""

from __future__ import annotations

from typing import Protocol

from bridge.core.policy import Policy


class PolicySource(Protocol):
    """The policy in force in a workspace; no copy is older than one second."""

    @property
    def seed(self) -> Policy:
        """The numbers that the bridge was started with: what every scope is laid over."""
        ...

    def current(self, workspace_id: str) -> Policy:
        """The effective policy."""
        ...

    def forget(self, workspace_id: str) -> None:
        """It was changed here just now: whoever asks next in this process gets the new one."""
        ...
