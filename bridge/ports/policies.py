"""Where the policy in force comes from."""

from __future__ import annotations

from typing import Protocol

from bridge.core.policy import Policy


class PolicySource(Protocol):
    """The policy in force in a workspace; no copy is older than one second."""

    def current(self, workspace_id: str) -> Policy:
        """The effective policy."""
        ...
